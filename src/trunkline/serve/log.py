"""One JSON line a call on stderr: who, what, how long. Never what the rows held."""

from __future__ import annotations

import logging
import random
import re
import sys
import traceback
from datetime import UTC, datetime
from io import BytesIO, RawIOBase
from threading import Timer
from time import perf_counter
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trunkline.serve.meters import Meter
from trunkline.serve.schedule import Spent

log = logging.getLogger("trunkline.serve")
_ID = re.compile(r"[\x21-\x7e]{1,128}")
_GATHER_SECONDS = 0.1
_CALL = "call"  # the message of a call's line


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


class Gathered(logging.Handler):
    """Writes the lines of calls together, those of a tenth of a second; any other line at once, behind them.

    A write lets go of the interpreter's lock, and getting it back from busy compute threads takes longer than
    answering a call. stream: unbuffered, so that lines of several processes don't meet within one.
    """

    def __init__(self, stream: RawIOBase | BytesIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Under the handler's lock, as logging calls it."""
        soon = record.msg == _CALL
        if soon and not self._lines:
            timer = Timer(_GATHER_SECONDS, self.flush)
            timer.daemon = True  # logging itself flushes when the process ends
            timer.start()
        self._lines.append(self.format(record) + "\n")
        if not soon:
            self.flush()

    def flush(self) -> None:
        self.acquire()
        try:
            lines, self._lines = self._lines, []
            data = memoryview("".join(lines).encode(errors="backslashreplace"))
            while data:
                data = data[self._stream.write(data) or 0 :]
        finally:
            self.release()


def log_to_stderr() -> None:
    handler = Gathered(open(sys.stderr.fileno(), "wb", buffering=0, closefd=False))  # noqa: SIM115 - stays open
    handler.setFormatter(JsonLines())
    for name in ("trunkline.serve", "trunkline.engines", "uvicorn", "opentelemetry"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
    log.setLevel(logging.INFO)


def request_id(wanted: str | None) -> str:
    """The caller's id if it fits in a header, else a new one."""
    return wanted if wanted and _ID.fullmatch(wanted) else f"{random.getrandbits(128):032x}"


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
        if log.isEnabledFor(logging.INFO):  # `log.info` would look up the line of code that called it, each time
            fields = {"fields": _line(scope, state, status, seconds)}
            log.handle(log.makeRecord(log.name, logging.INFO, __file__, 0, _CALL, (), None, extra=fields))
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
