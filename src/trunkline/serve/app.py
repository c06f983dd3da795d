"""The routes, and the one table from error class to HTTP status."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import partial
from importlib.resources import files
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

import trunkline
from trunkline.errors import BundleError, RequestError, TrunklineError, nearest
from trunkline.serve import wire
from trunkline.serve.answer import predict
from trunkline.serve.catalog import Catalog, Served
from trunkline.serve.describe import describe
from trunkline.serve.examples import measure
from trunkline.serve.log import Envelope, request_id
from trunkline.serve.matrix import predict_matrix
from trunkline.serve.openapi import openapi
from trunkline.serve.work import Limits, Work

STATUS: dict[type[Exception], int] = {
    wire.NotJsonError: 400,
    wire.UnknownProductError: 404,
    wire.TooLargeError: 413,
    wire.WrongRequestError: 422,
    wire.TooBusyError: 503,
    wire.UnavailableError: 503,
    RequestError: 400,
    BundleError: 503,
    TrunklineError: 500,
    Exception: 500,
}
_SMALL_BODY = 65_536  # bytes that are decoded within a millisecond
_JSON = "application/json"
_LOCKED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def build(catalog: Catalog, limits: Limits | None = None) -> ASGIApp:
    """The ASGI application that answers with a catalog."""
    limits = limits or Limits()
    server = Server(catalog, limits)
    app = Starlette(
        routes=[
            Route("/", server.root),
            Route("/healthz", server.health),
            Route("/docs", server.docs),
            Route("/openapi.json", server.openapi),
            Route("/v1/products", server.products),
            Route("/v1/products/{name}/report", server.report),
            Route("/v1/products/{name}/predict", server.predict, methods=["POST"]),
            Route("/v1/matrix/predict", server.matrix, methods=["POST"]),
        ],
        exception_handlers={TrunklineError: problem, HTTPException: http_problem, Exception: problem},
    )
    return Envelope(app)


class Server:
    """The handlers; they share a catalog, limits and the compute pool."""

    def __init__(self, catalog: Catalog, limits: Limits) -> None:
        self.catalog, self.limits = catalog, limits
        self.work = Work(limits)
        self.ask = catalog.ask()
        self._costs = {name: measure(served) for name, served in catalog.products.items()}
        self._openapi: bytes | None = None

    async def root(self, request: Request) -> Response:
        return RedirectResponse("/docs")

    async def health(self, request: Request) -> Response:
        """ok while every product serves, degraded while some were refused."""
        status = "degraded" if self.catalog.refused else "ok"
        return _json(
            {
                "status": status,
                "products": len(self.catalog.products),
                "refused": len(self.catalog.refused),
                "trunkline": trunkline.__version__,
            }
        )

    async def docs(self, request: Request) -> Response:
        page = (files("trunkline.serve") / "docs.html").read_text(encoding="utf-8")
        return _page(page, "connect-src 'self'; img-src data:")

    async def openapi(self, request: Request) -> Response:
        if self._openapi is None:
            self._openapi = await self.work.do(lambda: orjson.dumps(openapi(self.catalog, self.limits)))
        return Response(self._openapi, media_type=_JSON)

    async def products(self, request: Request) -> Response:
        return _json(await self.work.do(partial(describe, self.catalog)))

    async def report(self, request: Request) -> Response:
        served = self._served(request)
        page = await self.work.do(lambda: served.bundle.read("report.html").decode())
        return _page(page, "img-src data:; font-src data:; sandbox allow-scripts allow-popups")

    async def predict(self, request: Request) -> Response:
        served = self._served(request)
        body = await self._body(request)
        top = _top(request)
        if len(body) > _SMALL_BODY:
            parsed = await self.work.do(partial(wire.predict_request, body, self.limits.rows))
        else:
            parsed = wire.predict_request(body, self.limits.rows)
        assert isinstance(parsed.rows, list)
        _note(request, parsed.request_id, rows=len(parsed.rows))
        seconds = self._costs[served.name].of(len(parsed.rows), len(body))
        return Response(
            await self.work.do(partial(self._reply, served, parsed.rows, top), seconds), media_type=_JSON
        )

    async def matrix(self, request: Request) -> Response:
        body = await self._body(request)
        top = _top(request)
        parsed = wire.matrix_request(body)
        _note(request, parsed.request_id, rows=1)
        job = partial(predict_matrix, self.catalog, parsed.row, parsed.products, self.ask, top)
        return _json(await self.work.do(job))

    def _reply(self, served: Served, rows: list[Any], top: int | None) -> bytes:
        answers = predict(served, rows, self.ask, top)
        return _bytes({"product": served.name, "version": served.bundle.version, "answers": answers})

    def _served(self, request: Request) -> Served:
        name = request.path_params["name"]
        request.state.product = name[:80]
        if name in self.catalog.products:
            return self.catalog.products[name]
        raise missing(self.catalog, name)

    async def _body(self, request: Request) -> bytes:
        limit = self.limits.body_bytes
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise _too_large(limit)
        return bytes(body)


def missing(catalog: Catalog, name: str) -> RequestError:
    """Why no product of that name answers: refused at start, or unknown."""
    if name in catalog.refused:
        why = catalog.refused[name]
        return wire.UnavailableError(
            f"the product {name!r} can't serve: {why.what}", found=why.found, wanted=why.wanted, hint=why.hint
        )
    return wire.UnknownProductError(
        f"no product is called {name[:80]!r}", hint=nearest(name[:80], catalog.products)
    )


def status_of(error: Exception) -> int:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem_body(error: Exception, status: int) -> dict[str, Any]:
    """RFC 9457: type, title, status, detail; what, where, found, wanted, try as extension members."""
    if not isinstance(error, TrunklineError):
        error = TrunklineError("the server broke on this call", hint="see its log by the request id")
    parts = error.as_dict()
    kind = re.sub(r"(?<!^)(?=[A-Z])", "-", parts.pop("error").removesuffix("Error")).lower()
    detail = "; ".join(f"{name} {text}" for name, text in parts.items() if name != "what")
    return {
        "type": f"urn:trunkline:{kind}",
        "title": parts["what"],
        "status": status,
        "detail": detail,
        **parts,
    }


async def problem(request: Request, error: Exception) -> Response:
    status = status_of(error)
    body = problem_body(error, status) | {"instance": request.url.path[:200]}
    body["request_id"] = request.state.request_id
    headers = {"retry-after": "1"} if isinstance(error, wire.TooBusyError) else {}
    return Response(_bytes(body), status, headers, "application/problem+json")


async def http_problem(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405 in the same form."""
    assert isinstance(error, HTTPException)
    body = {
        "type": "about:blank",
        "title": error.detail,
        "status": error.status_code,
        "detail": f"{request.method} {request.url.path[:200]}; the routes are listed at /docs",
        "request_id": request.state.request_id,
    }
    return Response(_bytes(body), error.status_code, dict(error.headers or {}), "application/problem+json")


def _too_large(limit: int) -> wire.TooLargeError:
    return wire.TooLargeError(
        "the body is too large", wanted=f"at most {limit:,} bytes", hint="send it in several calls"
    )


def _top(request: Request) -> int | None:
    from trunkline.serve.answer import TOP_SCORES

    wanted = request.query_params.get("scores", "top")
    if wanted not in ("top", "all"):
        raise wire.WrongRequestError(
            "the query parameter scores is unknown", found=repr(wanted[:40]), wanted="top | all"
        )
    return None if wanted == "all" else TOP_SCORES


def _note(request: Request, wanted_id: str | None, rows: int) -> None:
    """For the log line and the header: what only the body could tell."""
    request.state.rows = rows
    if wanted_id is not None:
        request.state.request_id = request_id(wanted_id)


def _bytes(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _json(value: Any) -> Response:
    return Response(_bytes(value), media_type=_JSON)


def _page(html: str, also: str) -> Response:
    """A page whose own scripts run, by their hashes, and nothing else does."""
    scripts = re.findall(r"<script(?:\s[^>]*)?>(.*?)</script>", html, re.DOTALL)
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts
    )
    policy = f"{_LOCKED}; style-src 'unsafe-inline'; script-src {hashes or repr('none')}; {also}"
    headers = {"content-security-policy": policy, "referrer-policy": "no-referrer"}
    return Response(html, headers=headers, media_type="text/html")
