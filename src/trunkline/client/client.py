"""The client, sync and async. Both send the same `Asked` under the same policy; only the sending differs.

A call is sent again after a broken or refused connection, a timeout, 429 and 503: after what Retry-After says,
else after a random time under a bound that doubles ("full jitter": Brooker, "Exponential Backoff And Jitter",
AWS Architecture Blog, 2015), until the deadline. Every POST has an Idempotency-Key, the same each time it is
sent, so that it can't be counted twice.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from time import monotonic
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from trunkline.client import asked
from trunkline.client.asked import Asked, Row
from trunkline.client.errors import OverloadedError, UnreachableError, problem
from trunkline.client.results import Answer, ProductInfo
from trunkline.errors import MissingExtra

try:
    import httpx
    import tenacity
except ImportError as error:
    raise MissingExtra("the client", "client") from error

T = TypeVar("T")
H = TypeVar("H", httpx.Client, httpx.AsyncClient)

CHUNK = 500  # rows of a stream that are sent at a time
_MISTAKES = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)  # ours: sending again mends nothing
_random_wait = tenacity.wait_random_exponential(multiplier=0.2, max=10)  # seconds


class _Shared(Generic[H]):
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
        headers = {**call.headers, "x-timeout-ms": str(int(left * 1000) or 1)}
        parts = {"content": call.content, "headers": headers, "params": call.params}
        return {"method": call.method, "url": call.path, "timeout": left, **parts}

    def _unreachable(self, error: httpx.TransportError) -> UnreachableError:
        return UnreachableError(
            "the server gave no whole answer",
            where=self.base_url,
            found=f"{type(error).__name__}: {error}".removesuffix(": "),
            hint="is `trunkline serve` running there? base_url or TRUNKLINE_URL names the place",
        )


class Client(_Shared[httpx.Client]):
    """Calls to a Trunkline server. Threads may share it; close it, best by `with`.

    base_url: else TRUNKLINE_URL, else http://127.0.0.1:8000. key: else TRUNKLINE_KEY, else none. timeout: seconds
    that a try may wait for the next bytes. deadline: seconds after which no new try begins.
    Every call raises ProblemError (OverloadedError where that lasted until the deadline) and UnreachableError.
    """

    _kind = httpx.Client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    @overload
    def predict(
        self, product: str, rows: Row, *, all_scores: bool = False, idempotency_key: str | None = None
    ) -> Answer: ...
    @overload
    def predict(
        self,
        product: str,
        rows: Sequence[Row],
        *,
        all_scores: bool = False,
        idempotency_key: str | None = None,
    ) -> list[Answer]: ...
    def predict(
        self,
        product: str,
        rows: Row | Sequence[Row],
        *,
        all_scores: bool = False,
        idempotency_key: str | None = None,
    ) -> Answer | list[Answer]:
        """One answer for one row, a list in order for a list. Of many scores the five highest, or all.

        idempotency_key: your own, where the program itself may ask again after a crash; else a new one.
        """
        if isinstance(rows, Mapping):
            return self._send(asked.predict_one(product, rows, all_scores, idempotency_key))
        return self._send(asked.predict(product, rows, all_scores, idempotency_key))

    def matrix(self, row: Row, products: Sequence[str] | None = None) -> list[Answer]:
        """One row put to many products: those named, else all that can read it."""
        return self._send(asked.matrix(row, products))

    def products(self) -> list[ProductInfo]:
        return self._send(asked.products())

    def embeddings(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text, of a trunk or of the trunk of a product."""
        return self._send(asked.embeddings(model, texts))

    def stream(self, product: str, rows: Iterable[Row]) -> Iterator[tuple[Row, Answer]]:
        """Each row with its answer, in order, while `rows` is read on: any number of rows in little memory.

        An answer's `id` is the row's own, or its number among the 500 that were sent together.
        """
        for chunk in _chunks(rows):
            answers = self._send(asked.lines(product, chunk))
            yield from zip(chunk, answers, strict=True)

    def _send(self, call: Asked[T]) -> T:
        until = monotonic() + self.deadline

        def once() -> T:
            return _read(call, self._client.request(**self._request(call, until)))

        try:
            return tenacity.Retrying(**self._policy)(once)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error


class AsyncClient(_Shared[httpx.AsyncClient]):
    """`Client` for asyncio: the same calls, awaited; `async with`, `async for`."""

    _kind = httpx.AsyncClient

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.aclose()

    @overload
    async def predict(
        self, product: str, rows: Row, *, all_scores: bool = False, idempotency_key: str | None = None
    ) -> Answer: ...
    @overload
    async def predict(
        self,
        product: str,
        rows: Sequence[Row],
        *,
        all_scores: bool = False,
        idempotency_key: str | None = None,
    ) -> list[Answer]: ...
    async def predict(
        self,
        product: str,
        rows: Row | Sequence[Row],
        *,
        all_scores: bool = False,
        idempotency_key: str | None = None,
    ) -> Answer | list[Answer]:
        if isinstance(rows, Mapping):
            return await self._send(asked.predict_one(product, rows, all_scores, idempotency_key))
        return await self._send(asked.predict(product, rows, all_scores, idempotency_key))

    async def matrix(self, row: Row, products: Sequence[str] | None = None) -> list[Answer]:
        return await self._send(asked.matrix(row, products))

    async def products(self) -> list[ProductInfo]:
        return await self._send(asked.products())

    async def embeddings(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        return await self._send(asked.embeddings(model, texts))

    async def stream(self, product: str, rows: Iterable[Row]) -> AsyncIterator[tuple[Row, Answer]]:
        for chunk in _chunks(rows):
            answers = await self._send(asked.lines(product, chunk))
            for pair in zip(chunk, answers, strict=True):
                yield pair

    async def _send(self, call: Asked[T]) -> T:
        until = monotonic() + self.deadline

        async def once() -> T:
            return _read(call, await self._client.request(**self._request(call, until)))

        try:
            return await tenacity.AsyncRetrying(**self._policy)(once)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error


def _read(call: Asked[T], reply: httpx.Response) -> T:
    if reply.status_code >= 400:
        raise problem(reply.status_code, reply.headers, reply.content)
    return call.read(reply.content, reply.headers)


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


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    left = iter(rows)
    while chunk := list(islice(left, CHUNK)):
        yield chunk
