"""Rows in as lines, answers out as lines, in order, while the rows still come; memory doesn't grow with them.

No more is answered than the client takes. Most clients send all before they read, and the two sides would
then wait for each other; so rows that can't be answered yet go to a temporary file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from tempfile import SpooledTemporaryFile
from time import monotonic
from typing import Any

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from trunkline.errors import RequestError, TrunklineError
from trunkline.serve import wire
from trunkline.serve.answer import broken, error_answer, own_id
from trunkline.serve.app import SMALL_BODY, Server, aside
from trunkline.serve.catalog import Served
from trunkline.serve.log import log
from trunkline.serve.problems import problem_body
from trunkline.types import Refused

ROWS = 256  # answered at a time
PIECE = 65_536  # bytes looked at a time
MEMORY = 1_000_000  # bytes of rows that wait in memory; more wait on disk
DISK = 256_000_000  # bytes of rows that wait; then the client waits too
STALL_SECONDS = 600.0  # that it waits for room, until it is clear that it doesn't read its answers


def wanted(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == wire.NDJSON


async def reply(server: Server, served: Served, request: Request, top: int | None) -> Response:
    """The answer to a call of lines: a stream; or, where it is to be given once, what a JSON call may be, as a whole.

    Raises RequestError, StoreError.
    """
    answer = Reply(server, served, request, top)
    if server.idempotency is None or "idempotency-key" not in request.headers:
        return answer
    body = await server.body(request)
    return await server.once(request, body, lambda: answer.whole(body))


class Lines:
    """Bytes to lines, as they come; None for a line over `limit` bytes, of which no more is kept."""

    def __init__(self, limit: int) -> None:
        self._limit, self._line, self._over = limit, bytearray(), False

    def feed(self, piece: bytes) -> list[bytes | None]:
        """The lines that this piece ends; blank ones are left out."""
        out = []
        *ends, rest = piece.split(b"\n")
        for end in ends:
            self._grow(end)
            out += self.end()
        self._grow(rest)
        return out

    def end(self) -> list[bytes | None]:
        """The line that stands, if any: the last one needs no newline."""
        line, over = bytes(self._line), self._over
        self._line.clear()
        self._over = False
        return [None] if over else [line] if line.strip() else []

    def _grow(self, piece: bytes) -> None:
        if self._over or len(self._line) + len(piece) > self._limit:
            self._over = True
            self._line.clear()
        else:
            self._line += piece


class Spool:
    """Bytes that came and weren't read yet, in memory or else in a file."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(MEMORY)  # noqa: SIM115 - closed by `drop`
        self._taken = self._put = 0
        self._changed = asyncio.Condition()
        self._closed = False

    async def put(self, data: bytes) -> None:
        """Raises TimeoutError where no room comes free."""
        async with self._changed:
            async with asyncio.timeout(STALL_SECONDS):
                await self._changed.wait_for(lambda: self._put - self._taken < DISK)
            self._file.seek(self._put)
            self._put += self._file.write(data)
            self._changed.notify_all()

    async def take(self) -> bytes:
        """What waits, or b"" when all was taken and no more will come."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._put > self._taken or self._closed)
            self._file.seek(self._taken)
            data = self._file.read(PIECE)
            self._taken += len(data)
            if self._taken == self._put:
                self._file.seek(0)
                self._file.truncate()
                self._taken = self._put = 0
            self._changed.notify_all()
        return data

    async def close(self) -> None:
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    def drop(self) -> None:
        self._file.close()


class Reply(Response):
    """The streamed answer. Raises WrongRequestError for a deadline that can't be read."""

    def __init__(self, server: Server, served: Served, request: Request, top: int | None) -> None:
        server.limits.deadline(request.headers.get("x-timeout-ms"), monotonic())
        request.state.stream = True  # for `connections`: rows may come slowly
        bundle = served.bundle
        self._server, self._served, self._request, self._top = server, served, request, top
        self._id = bundle.spec.data.id or None
        self._rows = 0
        self._until: float | None = None  # of an answer as a whole
        names = {"product": served.name, "version": bundle.version, "digest": bundle.manifest.digest.answers}
        super().__init__(
            headers={f"x-trunkline-{name}": value for name, value in names.items()}, media_type=wire.NDJSON
        )
        del self.headers["content-length"]
        self._start: Message = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}

    async def whole(self, body: bytes) -> Response:
        """All answers at once. Raises RequestError for what can pass, so that it isn't kept, and for too many rows."""
        limits = self._server.limits
        reader = Lines(limits.body_bytes)
        lines = [*reader.feed(body), *reader.end()]
        if len(lines) > limits.rows:
            raise wire.TooLargeError(
                "too many rows in one call with an Idempotency-Key",
                found=str(len(lines)),
                wanted=f"at most {limits.rows}",
                hint="send them in several calls, or without the key, as a stream",
            )
        self._until = monotonic() + limits.seconds
        parts = [await self._answer(lines[start : start + ROWS]) for start in range(0, len(lines), ROWS)]
        return Response(b"".join(parts), headers=dict(self.headers))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        spool = Spool()
        here = asyncio.create_task(self._read(receive, spool))
        work = asyncio.create_task(self._work(spool, send))
        try:
            done, _ = await asyncio.wait({here, work}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (here, work):
                task.cancel()
            await asyncio.wait({here, work})
            spool.drop()

    async def _read(self, receive: Receive, spool: Spool) -> None:
        """Ends when the client has gone; all work on its rows is then given up."""
        while (message := await receive())["type"] != "http.disconnect":
            if body := message.get("body", b""):
                await spool.put(body)
            if not message.get("more_body", False):
                await spool.close()

    async def _work(self, spool: Spool, send: Send) -> None:
        await send(self._start)
        lines = Lines(self._server.limits.body_bytes)
        while piece := await spool.take():
            await self._reply(lines.feed(piece), send)
        await self._reply(lines.end(), send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _reply(self, lines: Sequence[bytes | None], send: Send) -> None:
        most = min(ROWS, self._server.limits.rows)
        for start in range(0, len(lines), most):
            body = await self._answer(lines[start : start + most])
            await send({"type": "http.response.body", "body": body, "more_body": True})

    async def _answer(self, lines: Sequence[bytes | None]) -> bytes:
        """One line for each, numbered on from the last."""
        size = sum(len(line) for line in lines if line is not None)
        rows = (
            await aside(lambda: [row_of(line) for line in lines])
            if size > SMALL_BODY
            else [row_of(line) for line in lines]
        )
        good = [row for row in rows if not isinstance(row, Refused)]
        answers = merged(rows, await self._ask(good) if good else (), self._rows, self._id)
        self._rows += len(rows)
        self._request.state.rows = self._rows
        return lines_of(answers)

    async def _ask(self, rows: list[Any]) -> list[dict[str, Any]]:
        """Waits while the server is busy, as long as a call may take; what fails after that is said per row."""
        until, pause = self._until or monotonic() + self._server.limits.seconds, 0.05
        while True:
            try:
                answers, _ = await self._server.answer(self._served, rows, self._request, self._top)
                return answers
            except (wire.TooBusyError, wire.CallerBusyError) as error:
                if monotonic() + pause > until:
                    return self._failed(error, rows)
            except RequestError as error:
                return self._failed(error, rows)
            except Exception as error:  # noqa: BLE001 - the status is sent already; each row says it
                log.error(
                    "breakage",
                    extra={"fields": {"product": self._served.name, "error": type(error).__name__}},
                )
                return self._failed(error, rows)
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)

    def _failed(self, error: Exception, rows: list[Any]) -> list[dict[str, Any]]:
        """What failed is each row's answer in a stream, whose status is sent already; else the call's."""
        lacks = isinstance(error, wire.WrongRequestError) and error.where == "rows"  # a column: the rows' own fault
        if self._until is not None and not lacks:
            raise error
        said = refused(error) if isinstance(error, RequestError) else broken(error)
        return [error_answer(said)] * len(rows)


_decode: Callable[[bytes], Any] = msgspec.json.Decoder().decode


def row_of(line: bytes | None) -> Any:
    """The row that a line holds, or Refused."""
    if line is None:
        return Refused("too_large", "the line is too long")
    try:
        row = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Refused("not_json", f"the line is not JSON: {error}")
    except RecursionError:
        return Refused("not_json", "the line is nested too deep")
    return row


def merged(
    rows: Sequence[Any], answers: Iterable[dict[str, Any]], start: int, column: str | None
) -> list[dict[str, Any]]:
    """An answer for each row: its own error where it is Refused, else the next of `answers`. Those are numbered from
    0; here the rows count from `start`, but for those with an id of their own in `column`."""
    left, out = iter(answers), []
    for at, row in enumerate(rows, start):
        answer = error_answer(row) if isinstance(row, Refused) else next(left)
        name = own_id(row[column]) if isinstance(row, dict) and column in row else at
        out.append({**answer, "id": name})
    return out


def lines_of(answers: Iterable[dict[str, Any]]) -> bytes:
    option = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
    return b"".join(orjson.dumps(answer, option=option) for answer in answers)


def refused(error: TrunklineError) -> Refused:
    """The same code as the error has in a problem body; a column that a whole batch lacks is each row's fault."""
    if isinstance(error, wire.WrongRequestError) and error.where == "rows":
        return Refused("missing_column", error.what)
    return Refused(problem_body(error, 0)["type"].rpartition(":")[2].replace("-", "_"), error.what)
