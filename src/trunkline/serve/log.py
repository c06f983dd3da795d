"""One JSON line a call on stderr: who, what, how long. Never what the rows held."""

from __future__ import annotations

import logging
import re
import sys
import traceback
import uuid
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trunkline.serve.meters import Meter
from trunkline.serve.schedule import Spent

log = logging.getLogger("trunkline.serve")
_ID = re.compile(r"[\x21-\x7e]{1,128}")


class JsonLines(logging.Formatter):
    """time, level, message and the record's own `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        return orjson.dumps(line, default=str).decode()


def log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("trunkline.serve", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    log.setLevel(logging.INFO)


def request_id(wanted: str | None) -> str:
    """The caller's id if it fits in a header, else a new one."""
    return wanted if wanted and _ID.fullmatch(wanted) else uuid.uuid4().hex


class Envelope:
    """Around the whole app: a request id in and out, and the line in the log.

    Handlers leave what they know (`product`, `rows`, `request_id`) in scope["state"].
    """

    def __init__(self, app: ASGIApp, meter: Meter | None = None) -> None:
        self.app, self.meter = app, meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = perf_counter(), 0
        state = scope.setdefault("state", {})
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        state["request_id"] = request_id(given.decode("latin-1"))

        async def tagged(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += [
                    (b"x-request-id", state["request_id"].encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            await self.app(scope, receive, tagged)
        except Exception as error:  # noqa: BLE001 - answered with a 500 already; its message could quote a row
            frames = traceback.extract_tb(error.__traceback__)[-5:]
            places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
            fields = {**_known(state), "error": type(error).__name__, "places": places}
            log.error("breakage", extra={"fields": fields})
        seconds = perf_counter() - began
        log.info("call", extra={"fields": _line(scope, state, status, seconds)})
        if self.meter is not None and "product" in state:
            rows = state.get("rows", 0) if status < 400 else 0
            version, engine, spent = state.get("version", ""), state.get("engine", ""), state.get("spent", Spent())
            self.meter.request(state["product"], version, engine, status, rows, spent, seconds)


def _known(state: dict[str, Any]) -> dict[str, Any]:
    return {name: state[name] for name in ("request_id", "product", "rows") if name in state}


def _line(scope: Scope, state: dict[str, Any], status: int, seconds: float) -> dict[str, Any]:
    return {
        **_known(state),
        "method": scope["method"],
        "path": scope["path"][:200],
        "status": status,
        "ms": round(seconds * 1000, 2),
    }
