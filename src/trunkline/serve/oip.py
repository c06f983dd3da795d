"""The Open Inference Protocol v2 over REST, so that clients made for Triton, KServe or MLServer work here.

A product is a model: its input columns are the inputs, its answer's fields the outputs. With the binary
tensor and model repository extensions (github.com/triton-inference-server/server, docs/protocol).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial, wraps
from typing import Any, Protocol

import msgspec
import orjson
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import trunkline
from trunkline.errors import TrunklineError
from trunkline.serve import tensors, wire
from trunkline.serve.app import SMALL_BODY, Server, aside
from trunkline.serve.catalog import Served
from trunkline.serve.problems import status_of
from trunkline.serve.signature import Output, Wanted, chosen, inputs_of, outputs_of, rows_of

JSON_LENGTH = "inference-header-content-length"
_JSON = "application/json"
_FEW_ROWS = 16  # written within a millisecond


class Repository(Protocol):
    """What loads and unloads a product: a `LiveCatalog`. Both may take long, and raise RequestError, or
    BundleError where the product's bundle can't serve."""

    def load(self, name: str) -> object: ...

    def unload(self, name: str) -> None: ...


class InferRequest(Struct):
    """$inference_request; members that the protocol doesn't know are left alone, as it asks."""

    inputs: list[tensors.Tensor]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[Wanted] | None = None


class IndexRequest(Struct):
    ready: bool = False


class RepositoryRequest(Struct):
    """To load or unload. Products come from their own folders, so a configuration or files in `parameters` can't
    be obeyed."""

    parameters: dict[str, Any] = {}


_INFER = msgspec.json.Decoder(InferRequest)
_INDEX = msgspec.json.Decoder(IndexRequest)
_REPOSITORY = msgspec.json.Decoder(RepositoryRequest)


def routes(server: Server, repository: Repository | None = None) -> list[Route]:
    """/v2 and below; load and unload only where there is a repository."""
    protocol = OpenInference(server, repository)
    out = [
        Route("/v2", protocol.metadata),
        Route("/v2/health/live", protocol.live),
        Route("/v2/health/ready", protocol.ready),
        Route("/v2/repository/index", protocol.index, methods=["POST"]),
    ]
    for model in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        out += [
            Route(model, protocol.model),
            Route(f"{model}/ready", protocol.model_ready),
            Route(f"{model}/infer", protocol.infer, methods=["POST"]),
        ]
    if repository is not None:
        out += [
            Route("/v2/repository/models/{name}/load", protocol.load, methods=["POST"]),
            Route("/v2/repository/models/{name}/unload", protocol.unload, methods=["POST"]),
        ]
    return out


def _answered(handler: Callable[[OpenInference, Request], Awaitable[Response]]) -> Any:
    """Errors in the protocol's own form: {"error": text}."""

    @wraps(handler)
    async def handle(self: OpenInference, request: Request) -> Response:
        try:
            return await handler(self, request)
        except TrunklineError as error:
            status = status_of(error)
            headers = {"retry-after": "1"} if status in (429, 503) else {}
            return _json({"error": " ".join(str(error).split())}, status, headers)

    return handle


class OpenInference:
    """The handlers."""

    def __init__(self, server: Server, repository: Repository | None) -> None:
        self.server, self.repository = server, repository

    @_answered
    async def metadata(self, request: Request) -> Response:
        extensions = ["binary_tensor_data", *(["model_repository"] if self.repository else [])]
        return _json({"name": "trunkline", "version": trunkline.__version__, "extensions": extensions})

    @_answered
    async def live(self, request: Request) -> Response:
        return _json({"live": True})

    @_answered
    async def ready(self, request: Request) -> Response:
        """While any product serves: one that was refused must not take the others from a load balancer."""
        serves = bool(self.server.catalog.products)
        return _json({"live": True, "ready": serves}, 200 if serves else 503)

    @_answered
    async def model(self, request: Request) -> Response:
        served = self._served(request)
        found = outputs_of(served).values()
        outputs = [
            {
                "name": out.name,
                "datatype": out.datatype,
                "shape": [-1, len(out.labels)] if out.labels else [-1],
            }
            for out in found
        ]
        return _json(
            {
                "name": served.name,
                "versions": [served.bundle.version],
                "platform": f"trunkline_{served.bundle.spec.task}",
                "inputs": inputs_of(served),
                "outputs": outputs,
            }
        )

    @_answered
    async def model_ready(self, request: Request) -> Response:
        return _json({"name": self._served(request).name, "ready": True})

    @_answered
    async def infer(self, request: Request) -> Response:
        served = self._served(request)
        body = await self.server.body(request)
        return await self.server.once(request, body, lambda: self._inferred(request, served, body))

    async def _inferred(self, request: Request, served: Served, body: bytes) -> Response:
        length = _json_length(request, body)
        limit = self.server.limits.rows
        # the event loop is never held up for a large body
        parse = partial(_parsed, served, body, length, limit)
        asked, found, rows = parse() if len(body) <= SMALL_BODY else await aside(parse)
        request.state.rows = len(rows)
        answers, _ = await self.server.answer(served, rows, request, None)
        reply = partial(_response, served, asked, found, answers)
        return reply() if len(rows) <= _FEW_ROWS else await aside(reply)

    @_answered
    async def index(self, request: Request) -> Response:
        body = await self.server.body(request)
        asked = wire.decode(_INDEX, body) if body else IndexRequest()
        catalog = self.server.catalog
        models = [
            {"name": name, "version": catalog.products[name].bundle.version, "state": "READY", "reason": ""}
            for name in sorted(catalog.products)
        ]
        refused = [
            {"name": name, "state": "UNAVAILABLE", "reason": catalog.refused[name].what}
            for name in sorted(catalog.refused)
        ]
        return _json(models if asked.ready else models + refused)

    @_answered
    async def load(self, request: Request) -> Response:
        assert self.repository is not None
        await self._no_files(request)
        await asyncio.to_thread(self.repository.load, request.path_params["name"])
        return _json({})

    @_answered
    async def unload(self, request: Request) -> Response:
        assert self.repository is not None
        await self._no_files(request)
        await asyncio.to_thread(self.repository.unload, request.path_params["name"])
        return _json({})

    async def _no_files(self, request: Request) -> None:
        """Raises WrongRequestError for a load that asks for another model than the product's own."""
        body = await self.server.body(request)
        asked = wire.decode(_REPOSITORY, body) if body else RepositoryRequest()
        for name in asked.parameters.keys() - {"unload_dependents"}:
            raise wire.WrongRequestError(
                "products come from their own folders", where="parameters", found=name[:80], hint="trunkline deploy"
            )

    def _served(self, request: Request) -> Served:
        served = self.server.served(request)
        version = request.path_params.get("version", served.bundle.version)
        if version != served.bundle.version:
            raise wire.UnknownProductError(
                f"{served.name!r} has no version {version[:80]!r} here", wanted=served.bundle.version
            )
        return served


def _json_length(request: Request, body: bytes) -> int:
    """Where the JSON ends and the binary tensors begin."""
    given = request.headers.get(JSON_LENGTH)
    if given is None:
        return len(body)
    if not (given.isascii() and given.isdigit() and len(given) < 12 and int(given) <= len(body)):
        raise wire.WrongRequestError(
            "the header Inference-Header-Content-Length can't be right",
            found=given[:40],
            wanted=f"0 to {len(body)}",
        )
    return int(given)


def _parsed(
    served: Served, body: bytes, length: int, limit: int
) -> tuple[InferRequest, list[tuple[Output, bool]], list[dict[str, Any]]]:
    """(the request, its outputs and whether each is binary, its rows)."""
    asked = wire.decode(_INFER, body[:length])
    binary = asked.parameters.get("binary_data_output") is True
    found = chosen(outputs_of(served), asked.outputs or (), binary)
    rows = rows_of(served, asked.inputs, body[length:])
    if len(rows) > limit:
        raise wire.TooLargeError(
            "too many rows in one call", found=f"{len(rows)} rows", wanted=f"at most {limit}"
        )
    return asked, found, rows


def _response(
    served: Served,
    asked: InferRequest,
    wanted: Sequence[tuple[Output, bool]],
    answers: Sequence[Mapping[str, Any]],
) -> Response:
    outputs, behind = [], []
    for out, binary in wanted:
        shape = [len(answers), len(out.labels)] if out.labels else [len(answers)]
        values = [cell for answer in answers for cell in out.cells(answer)]
        described, data = tensors.write(out.name, out.datatype, shape, values, binary)
        if out.labels:
            # a parameter is a string, a number or a bool in this protocol, so the list is JSON in a string
            named = {"labels": orjson.dumps(list(out.labels)).decode()}
            described["parameters"] = described.get("parameters", {}) | named
        outputs.append(described)
        behind.append(data)
    head = {"model_name": served.name, "model_version": served.bundle.version, "outputs": outputs}
    body = _bytes(head if asked.id is None else {**head, "id": asked.id})
    if not any(binary for _, binary in wanted):
        return Response(body, media_type=_JSON)
    headers = {JSON_LENGTH: str(len(body))}
    return Response(b"".join([body, *behind]), headers=headers, media_type="application/octet-stream")


def _bytes(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(_bytes(value), status, headers, _JSON)
