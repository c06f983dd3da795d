"""Read by schemathesis (SCHEMATHESIS_HOOKS): what its own checks don't know of this server."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(ctx: Any, value: Any) -> Any:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else str(value).encode()


@schemathesis.check
def a_refusal_has_its_reason(ctx: Any, response: Any, case: Any) -> None:
    """503 and 504 say why, in the form of their protocol."""
    if response.status_code not in (503, 504) or case.operation.path == "/v2/health/ready":
        return
    body = response.json()
    reason = body.get("error") or body.get("what")
    assert reason, body


@schemathesis.check
def a_wrong_row_is_an_error_among_answers(ctx: Any, response: Any, case: Any) -> None:
    """What breaks the schema is refused as a whole, or said of the row."""
    wrong = {str(where.value) for where, part in case.meta.components.items() if part.mode.is_negative}
    ours = case.operation.path.endswith(("/predict", "/why")) and case.media_type == "application/json"
    if ours and "body" in wrong and response.status_code == 200:
        said = [answer["status"] for answer in response.json()["answers"]]
        assert "error" in said, (case.body, said)
