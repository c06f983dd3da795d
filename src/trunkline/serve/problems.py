"""The one table from error class to HTTP status, and errors as RFC 9457 bodies."""

from __future__ import annotations

import re
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from trunkline.errors import BundleError, DataError, MissingExtra, RequestError, TrunklineError
from trunkline.explain.subject import NotExplainedError
from trunkline.serve import wire
from trunkline.serve.auth import KeyWantedError, ScopeWantedError
from trunkline.serve.idempotency import StillRunningError
from trunkline.store.place import StoreError

STATUS: dict[type[Exception], int] = {
    wire.NotJsonError: 400,
    wire.UnknownProductError: 404,
    wire.TooLargeError: 413,
    wire.WrongRequestError: 422,
    KeyWantedError: 401,
    ScopeWantedError: 403,
    StillRunningError: 409,
    wire.CallerBusyError: 429,
    wire.TooBusyError: 503,
    wire.LateError: 504,
    wire.GoneError: 499,  # nginx's number: the log's, since nobody is there to read it
    wire.ForeignError: 403,
    wire.UnavailableError: 503,
    NotExplainedError: 403,
    wire.UnknownJobError: 404,
    wire.JobStateError: 409,
    wire.MediaTypeError: 415,
    wire.NoRoomError: 507,
    RequestError: 400,
    BundleError: 503,
    DataError: 422,  # rows that a network can't compute
    StoreError: 503,
    MissingExtra: 501,
    TrunklineError: 500,
    Exception: 500,
}
_TRY_AGAIN = (wire.TooBusyError, wire.CallerBusyError, StillRunningError, StoreError)


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
    headers = {"retry-after": "1"} if isinstance(error, _TRY_AGAIN) else {}
    return Response(json_bytes(body), status, headers, "application/problem+json")


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
    return Response(json_bytes(body), error.status_code, dict(error.headers or {}), "application/problem+json")


def json_bytes(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
