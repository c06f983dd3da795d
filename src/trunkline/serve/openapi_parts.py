"""What operations of the OpenAPI document share: headers, path parameters, and what each status means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
TEXT: Json = {"type": "string"}
OPTIONAL_TEXT: Json = {"type": ["string", "null"]}
PROBLEM_REF: Json = {"$ref": "#/components/schemas/Problem"}

MEANINGS = {
    "400": "The body is not JSON, or not of the wanted shape.",
    "401": "A key is wanted, or it is wrong, revoked or expired.",
    "403": "The key was not made for this; or, without keys, Host or Origin names another machine.",
    "404": "Nothing of that name.",
    "409": "The first call with this Idempotency-Key is being answered.",
    "413": "The body or the number of rows is over the limit.",
    "415": "The body is a file or a form, where rows are wanted.",
    "422": "The body or a header is not of the wanted shape, or no row has a wanted column.",
    "429": "This organisation has too many calls waiting.",
    "503": "The product or the store can't serve, or too many calls are waiting.",
    "504": "The deadline passed before the answer.",
}
ALWAYS = ("401", "403", "503")  # of every call that may need a key
OF_A_CALL = ("400", "401", "403", "404", "413", "415", "422", "429", "503", "504")
AGAIN = ("409", "429", "503")  # with Retry-After where a later try may do

PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457.",
    "properties": dict.fromkeys(("type", "title", "detail", "instance", "request_id", "what", "where", "found", "wanted", "try"), TEXT)
    | {"status": {"type": "integer"}},
    "required": ["type", "title", "status"],
}
KEY: Json = {"type": "http", "scheme": "bearer", "description": "From `trunkline keys add`, once the server has keys."}


def path(name: str, example: str | None = None) -> Json:
    """A path parameter: one segment."""
    parameter: Json = {"name": name, "in": "path", "required": True, "schema": {**TEXT, "pattern": "^[^/]+$"}}
    return parameter if example is None else {**parameter, "example": example}


def _header(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "header", "schema": schema, "description": description}


DEADLINE = _header(
    "x-timeout-ms", {"type": "integer", "minimum": 1, "maximum": 999_999_999}, "After so long the call is given up."
)
ONCE = _header(
    "Idempotency-Key",
    {**TEXT, "pattern": "^[!-~]{1,255}$"},
    "A call that is sent again has the answer it had; where the server has a store.",
)
_RETRY_AFTER: Json = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}


def response(text: str, content: Mapping[str, Json]) -> Json:
    """content: media type -> schema."""
    return {"description": text, "content": {media: {"schema": schema} for media, schema in content.items()}}


def problems(statuses: Iterable[str], own: Json | None = None, meanings: Mapping[str, str] = MEANINGS) -> Json:
    """Status -> response. own: the schema of a protocol's own errors; what is refused before the protocol is
    reached (keys, routes) is a Problem in each. meanings: what a status says here, where that isn't MEANINGS'."""
    content = {PROBLEM_JSON: PROBLEM_REF} if own is None else {JSON: own, PROBLEM_JSON: PROBLEM_REF}
    out = {}
    for status in sorted(statuses):
        out[status] = response(meanings.get(status) or MEANINGS[status], content)
        if status in AGAIN:
            out[status]["headers"] = _RETRY_AFTER
    return out
