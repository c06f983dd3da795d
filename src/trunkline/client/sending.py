"""How calls are sent, sync and async: the same `Asked` under the same policy; only the sending differs.

A call is sent again after a broken or refused connection, a timeout, 429 and 503: after what Retry-After says,
else after a random time under a bound that doubles ("full jitter": Brooker, "Exponential Backoff And Jitter",
AWS Architecture Blog, 2015), until the deadline. Every POST has an Idempotency-Key, the same each time it is
sent, so that it can't be counted twice.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import IO, Any, Generic, TypeVar

from trunkline.client.asked import Asked
from trunkline.client.errors import OverloadedError, UnreachableError, problem
from trunkline.errors import MissingExtra

try:
    import httpx
    import tenacity
except ImportError as error:
    raise MissingExtra("the client", "client") from error

T = TypeVar("T")
H = TypeVar("H", httpx.Client, httpx.AsyncClient)

PIECE = 1_000_000  # bytes of a file in memory
_MISTAKES = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)  # ours: sending again mends nothing
_random_wait = tenacity.wait_random_exponential(multiplier=0.2, max=10)  # seconds


class Shared(Generic[H]):
    """What both clients share: where, as whom, how long, and when again. See `Client`."""

    _kind: type[H]

    def __init__(
        self,
        base_url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = 10.0,
        deadline: float = 30.0,
    ) -> None:
        self.base_url = (base_url or os.environ.get("TRUNKLINE_URL") or "http://127.0.0.1:8000").rstrip("/")
        self.timeout, self.deadline = timeout, deadline
        key = key or os.environ.get("TRUNKLINE_KEY")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._client: H = self._kind(base_url=self.base_url, headers=headers)
        self._policy: dict[str, Any] = {
            "retry": tenacity.retry_if_exception(_passes),
            "wait": _wait,
            "stop": tenacity.stop_before_delay(deadline),
            "reraise": True,
        }

    def _request(self, call: Asked[Any], until: float) -> dict[str, Any]:
        """Arguments of one try. It has what is left of the time, and tells the server so."""
        left = max(0.001, min(self.timeout, until - monotonic()))
        timeout = httpx.Timeout(left, read=max(left, call.patience))
        headers = {**call.headers, "x-timeout-ms": str(int(left * 1000) or 1)}
        return {"method": call.method, "url": call.path, "timeout": timeout, "headers": headers, "params": call.params}

    def _unreachable(self, error: httpx.TransportError) -> UnreachableError:
        return UnreachableError(
            "the server gave no whole answer",
            where=self.base_url,
            found=f"{type(error).__name__}: {error}".removesuffix(": "),
            hint="is `trunkline serve` running there? base_url or TRUNKLINE_URL names the place",
        )


class Sender(Shared[httpx.Client]):
    _kind = httpx.Client

    def _send(self, call: Asked[T]) -> T:
        def once(until: float) -> T:
            content = _pieces(call.content) if isinstance(call.content, Path) else call.content
            return _read(call, self._client.request(**self._request(call, until), content=content))

        return self._tried(once)

    def _fetch(self, call: Asked[Any], to: Path) -> None:
        """The answer as a file, whole or not at all."""

        def once(until: float) -> None:
            with _whole(to) as file, self._client.stream(**self._request(call, until)) as reply:
                if reply.status_code >= 400:
                    reply.read()
                    raise _problem(reply)
                for piece in reply.iter_bytes():
                    file.write(piece)

        self._tried(once)

    def _tried(self, once: Callable[[float], T]) -> T:
        until = monotonic() + self.deadline
        try:
            return tenacity.Retrying(**self._policy)(once, until)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error


class AsyncSender(Shared[httpx.AsyncClient]):
    _kind = httpx.AsyncClient

    async def _send(self, call: Asked[T]) -> T:
        async def once(until: float) -> T:
            content = _pieces_async(call.content) if isinstance(call.content, Path) else call.content
            return _read(call, await self._client.request(**self._request(call, until), content=content))

        return await self._tried(once)

    async def _fetch(self, call: Asked[Any], to: Path) -> None:
        async def once(until: float) -> None:
            with _whole(to) as file:
                async with self._client.stream(**self._request(call, until)) as reply:
                    if reply.status_code >= 400:
                        await reply.aread()
                        raise _problem(reply)
                    async for piece in reply.aiter_bytes(PIECE):
                        await asyncio.to_thread(file.write, piece)

        await self._tried(once)

    async def _tried(self, once: Callable[[float], Awaitable[T]]) -> T:
        until = monotonic() + self.deadline
        try:
            return await tenacity.AsyncRetrying(**self._policy)(once, until)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error


def _read(call: Asked[T], reply: httpx.Response) -> T:
    if reply.status_code >= 400:
        raise _problem(reply)
    return call.read(reply.content, reply.headers)


def _problem(reply: httpx.Response) -> Exception:
    return problem(reply.status_code, reply.headers, reply.content)


@contextmanager
def _whole(to: Path) -> Iterator[IO[bytes]]:
    temp = to.with_name(f".{to.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temp.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temp.replace(to)
    finally:
        temp.unlink(missing_ok=True)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


async def _pieces_async(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece


def _passes(error: BaseException) -> bool:
    """May it go well next time?"""
    if isinstance(error, httpx.TransportError):
        return not isinstance(error, _MISTAKES)
    return isinstance(error, OverloadedError)


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds until the next try."""
    error = state.outcome.exception() if state.outcome else None
    wanted = error.retry_after if isinstance(error, OverloadedError) else None
    return max(wanted or 0.0, _random_wait(state))
