"""What goes wrong for a caller: no answer came, or the answer is a problem (RFC 9457)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from trunkline.client.results import Job
from trunkline.errors import RequestError

_PASSING = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_LASTING = (
    "urn:trunkline:unavailable",
    "urn:trunkline:bundle",
)  # 503, but trying again doesn't mend a bundle
_UNDER_WAY = "urn:trunkline:still-running"  # 409: the first try is being answered; ask again for its answer


class UnreachableError(RequestError):
    """No whole answer came: no connection, or it broke or took too long, however often it was tried."""


class ProblemError(RequestError):
    """The server answered with an error. `what`, `where`, `found`, `wanted`, `hint` are its own words.

    status: the HTTP status; type, title, detail, instance: as in RFC 9457; request_id: to be found in its log.
    """

    def __init__(self, status: int, body: Mapping[str, Any], retry_after: float | None = None) -> None:
        said = {name: value for name, value in body.items() if isinstance(value, str)}
        self.status, self.retry_after = status, retry_after  # seconds, as the server asks
        self.type = said.get("type", "about:blank")
        self.title = said.get("title", "")
        self.detail = said.get("detail", "")
        self.instance = said.get("instance", "")
        self.request_id = said.get("request_id", "")
        super().__init__(
            said.get("what") or self.title or f"the server answered {status}",
            where=said.get("where", ""),
            found=said.get("found", ""),
            wanted=said.get("wanted", ""),
            hint=said.get("try", ""),
        )


class OverloadedError(ProblemError):
    """The server can't take the call now (429, 503) and couldn't until the deadline; a later one may do."""


class JobError(RequestError):
    """`job` can't be waited for: it failed, was cancelled, or hasn't ended in time."""

    def __init__(self, job: Job) -> None:
        self.job = job
        said = job.error or {}
        what = {"failed": said.get("what", "the job failed"), "cancelled": "the job was cancelled"}
        super().__init__(
            what.get(job.state, "the job hasn't ended in time"),
            where=said.get("where", f"job {job.id}"),
            found=said.get("found", f"{job.state}, {job.rows_done} rows done"),
            wanted=said.get("wanted", ""),
            hint=said.get("try", ""),
        )


def problem(status: int, headers: Mapping[str, str], content: bytes) -> ProblemError:
    """The error that an answer of 400 or more tells. Any body will do: a proxy in between may have written it."""
    try:
        body = json.loads(content)
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    if isinstance(openai := body.get("error"), dict):
        body = {"title": openai.get("message")}
    body.setdefault("request_id", headers.get("x-request-id"))
    kind = body.get("type")
    passing = status in _PASSING and kind not in _LASTING
    error = OverloadedError if passing or kind == _UNDER_WAY else ProblemError
    return error(status, body, _seconds(headers.get("retry-after", "")))


def _seconds(retry_after: str) -> float | None:
    """RFC 9110, 10.2.3: whole seconds or a date."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (at.astimezone(UTC) - datetime.now(UTC)).total_seconds())
