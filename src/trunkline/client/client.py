"""The client, sync and async: the same calls, sent by `sending`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import Self, overload

from trunkline.client import asked
from trunkline.client.asked import Row
from trunkline.client.jobs import AsyncJobCalls, JobCalls
from trunkline.client.results import Answer, ProductInfo

CHUNK = 500  # rows of a stream that are sent at a time


class Client(JobCalls):
    """Calls to a Trunkline server. Threads may share it; close it, best by `with`.

    base_url: else TRUNKLINE_URL, else http://127.0.0.1:8000. key: else TRUNKLINE_KEY, else none. timeout: seconds
    that a try may wait for the next bytes. deadline: seconds after which no new try begins.
    Every call raises ProblemError (OverloadedError where that lasted until the deadline) and UnreachableError.
    """

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

    def why(
        self, product: str, row: Row, *, label: str | None = None, method: str = "auto", budget: int | None = None,
        top: int = 10, idempotency_key: str | None = None,
    ) -> Answer:  # fmt: skip
        """The row's answer with `why`: the parts of the row that pushed it, or with `why_not` (docs/why.md)."""
        return self._send(asked.why(product, row, label, method, budget, top, idempotency_key))

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


class AsyncClient(AsyncJobCalls):
    """`Client` for asyncio: the same calls, awaited; `async with`, `async for`."""

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

    async def why(
        self, product: str, row: Row, *, label: str | None = None, method: str = "auto", budget: int | None = None,
        top: int = 10, idempotency_key: str | None = None,
    ) -> Answer:  # fmt: skip
        return await self._send(asked.why(product, row, label, method, budget, top, idempotency_key))

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


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    left = iter(rows)
    while chunk := list(islice(left, CHUNK)):
        yield chunk
