"""OpenAI's embeddings API over the text trunks: https://platform.openai.com/docs/api-reference/embeddings.

A model is a trunk, or a product, which means the trunk it stands on. Vectors are those that products get.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial, wraps
from typing import Any, Literal

import msgspec
import numpy as np
import orjson
from msgspec import Struct
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trunkline.errors import TrunklineError, nearest
from trunkline.inputs.text import Text
from trunkline.serve import wire
from trunkline.serve.app import SMALL_BODY, Server, aside, missing
from trunkline.serve.catalog import Catalog, Served
from trunkline.serve.problems import status_of
from trunkline.types import Engine, EngineCard, Refused


class EmbeddingsRequest(Struct, forbid_unknown_fields=True):
    """POST /v1/embeddings. Token ids as input are not read: every trunk has a tokenizer of its own."""

    input: str | list[str]
    model: str
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None


_FEW_TEXTS = 16  # written within a millisecond
_DECODER = msgspec.json.Decoder(EmbeddingsRequest)


def routes(server: Server) -> list[Route]:
    protocol = Embeddings(server)
    return [
        Route("/v1/embeddings", protocol.create, methods=["POST"]),
        Route("/v1/models", protocol.models),
    ]


def _answered(handler: Callable[[Embeddings, Request], Awaitable[Response]]) -> Any:
    @wraps(handler)
    async def handle(self: Embeddings, request: Request) -> Response:
        try:
            return await handler(self, request)
        except TrunklineError as error:
            return _failed(error)

    return handle


class Embeddings:
    """The handlers."""

    def __init__(self, server: Server) -> None:
        self.server = server

    @_answered
    async def create(self, request: Request) -> Response:
        body = await self.server.body(request)
        return await self.server.once(request, body, lambda: self._created(request, body))

    async def _created(self, request: Request, body: bytes) -> Response:
        parse = partial(wire.decode, _DECODER, body)
        asked: EmbeddingsRequest = parse() if len(body) <= SMALL_BODY else await aside(parse)
        request.state.product = asked.model[:80]
        name = engine_of(self.server.catalog, asked.model)
        engine = self.server.catalog.engines[name]
        texts = _texts(asked.input, self.server.limits.rows)
        _same_size(asked.dimensions, engine)
        request.state.rows = len(texts)
        vectors, tokens = await self.server.embed(name, texts, request)
        reply = partial(_reply, asked, vectors, tokens)
        return reply() if len(texts) <= _FEW_TEXTS else await aside(reply)

    @_answered
    async def models(self, request: Request) -> Response:
        catalog = self.server.catalog
        stands = {name: _trunk_of(catalog, name) for name in sorted(catalog.products)}
        trunks = [_model(name, 0) for name in sorted({card.id for card in stands.values() if card})]
        products = [
            _model(name, _created(catalog.products[name]))
            for name, card in stands.items()
            if card is not None
        ]
        return _json({"object": "list", "data": trunks + products})


def engine_of(catalog: Catalog, model: str) -> str:
    """The engine behind a trunk's or a product's name.

    Raises UnknownProductError, UnavailableError, and WrongRequestError for what isn't a text trunk.
    """
    name = f"trunk:{model}"
    if name in catalog.engines and _embeds(catalog.engines[name].card):
        return name
    if model in catalog.products:
        if card := _trunk_of(catalog, model):
            return f"trunk:{card.id}"
        raise wire.WrongRequestError(f"the product {model!r} stands on no text trunk", where="model")
    if model in catalog.refused:
        raise missing(catalog, model)
    known = [name.removeprefix("trunk:") for name in catalog.engines if name.startswith("trunk:")]
    raise wire.UnknownProductError(
        f"no model is called {model[:80]!r}",
        where="model",
        hint=nearest(model[:80], [*known, *catalog.products]),
    )


def _trunk_of(catalog: Catalog, product: str) -> EngineCard | None:
    """By the bundle's manifest, so that no engine is loaded only to be listed."""
    cards = catalog.products[product].bundle.manifest.trunks
    return next((card for card in cards if f"trunk:{card.id}" in catalog.engines and _embeds(card)), None)


def _embeds(card: EngineCard) -> bool:
    return card.kind == "text" and "pooled" in card.forms


def _created(served: Served) -> int:
    """Unix time."""
    return int(datetime.fromisoformat(served.bundle.manifest.created).timestamp())


def _texts(given: str | list[str], limit: int) -> list[str]:
    """Read as products read them. Raises WrongRequestError, TooLargeError."""
    cells = [given] if isinstance(given, str) else given
    if not cells:
        raise wire.WrongRequestError("there is no text", where="input")
    if len(cells) > limit:
        raise wire.TooLargeError(
            "too many texts in one call", found=str(len(cells)), wanted=f"at most {limit}"
        )
    kind, texts = Text(), []
    for at, cell in enumerate(cells):
        text = kind.read(cell)
        if isinstance(text, Refused):
            raise wire.WrongRequestError(text.message, where=f"input[{at}]")
        texts.append(text)
    return texts


def _same_size(dimensions: int | None, engine: Engine) -> None:
    if dimensions not in (None, engine.card.dim):
        raise wire.WrongRequestError(
            "the trunk's vectors can't be shortened",
            where="dimensions",
            found=f"{dimensions!r:.40}",
            wanted=str(engine.card.dim),
        )


def _reply(asked: EmbeddingsRequest, vectors: NDArray[np.float32], tokens: int) -> Response:
    data = [
        {"object": "embedding", "index": at, "embedding": _written(vector, asked.encoding_format)}
        for at, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json({"object": "list", "data": data, "model": asked.model, "usage": usage})


def _written(vector: NDArray[np.float32], encoding: str) -> NDArray[np.float32] | str:
    """base64 of little-endian float32, as OpenAI's clients decode it."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if encoding == "base64" else vector


def _model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "trunkline"}


def _failed(error: TrunklineError) -> Response:
    """OpenAI's error object; what is 422 elsewhere is 400 here, as its clients expect."""
    status = status_of(error)
    status = 400 if status == 422 else status
    unknown = isinstance(error, wire.UnknownProductError)
    body = {
        "message": " ".join(str(error).split()),
        "type": "server_error" if status >= 500 else "invalid_request_error",
        "param": error.where or None,
        "code": "model_not_found" if unknown else None,
    }
    return _json({"error": body}, status, {"retry-after": "1"} if status in (409, 429, 503) else {})


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), status, headers, "application/json"
    )
