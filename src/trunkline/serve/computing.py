"""Where rows are computed: in this process, or elsewhere (`on_ray`). The server asks for answers and says on whose
behalf; everything else about a call is its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from trunkline.explain.why import Asked
from trunkline.serve.answer import answering
from trunkline.serve.catalog import Catalog, Served
from trunkline.serve.matrix import answering_matrix
from trunkline.serve.schedule import Scheduler, Spent, Ticket
from trunkline.serve.why import Told, answering_why
from trunkline.types import Call, Steps

T = TypeVar("T")
Answers = list[dict[str, Any]]
Vectors = tuple[NDArray[np.float32], int]  # (n, dim), tokens
Executed = Callable[[str, int, float, int], None]  # told of an engine's rows, their seconds and batches


class Compute(Protocol):
    """Each gives what was asked for and where the time went. Raises what the program raises, and RequestError."""

    async def rows(
        self, served: Served, rows: Sequence[Any], top: int | None, ticket: Ticket
    ) -> tuple[Answers, Spent]:
        """See `answer.answering`."""
        ...

    async def matrix(
        self, catalog: Catalog, row: Mapping[str, Any], named: Sequence[str] | None, top: int | None, ticket: Ticket
    ) -> tuple[dict[str, Any], Spent]:
        """See `matrix.answering_matrix`."""
        ...

    async def vectors(self, engine: str, texts: list[str], ticket: Ticket) -> tuple[Vectors, Spent]:
        """The pooled vectors of texts, and how many tokens they have."""
        ...

    async def why(
        self, served: Served, rows: Sequence[Any], asked: Asked, top: int | None, ticket: Ticket
    ) -> tuple[Told, Spent]:
        """See `why.answering_why`."""
        ...


class Here:
    """In this process, by its scheduler."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    async def rows(
        self, served: Served, rows: Sequence[Any], top: int | None, ticket: Ticket
    ) -> tuple[Answers, Spent]:
        return await self._scheduler.run(answering(served, rows, top), ticket)

    async def matrix(
        self, catalog: Catalog, row: Mapping[str, Any], named: Sequence[str] | None, top: int | None, ticket: Ticket
    ) -> tuple[dict[str, Any], Spent]:
        return await self._scheduler.run(answering_matrix(catalog, row, named, top), ticket)

    async def vectors(self, engine: str, texts: list[str], ticket: Ticket) -> tuple[Vectors, Spent]:
        vectors, spent = await self._scheduler.run(_pooled(engine, texts), ticket)
        cost = self._scheduler.engines[engine].cost
        return (vectors, sum(cost(text) for text in texts)), spent

    async def why(
        self, served: Served, rows: Sequence[Any], asked: Asked, top: int | None, ticket: Ticket
    ) -> tuple[Told, Spent]:
        return await self._scheduler.run(answering_why(served, rows, asked, top), ticket)


class Waiting:
    """For a thread that isn't of the compute pool and may wait: what a `Compute` of the running loop gives."""

    def __init__(self, compute: Compute) -> None:
        self._compute, self._loop = compute, asyncio.get_running_loop()

    def rows(self, served: Served, rows: Sequence[Any], top: int | None) -> Answers:
        return self._waited(self._compute.rows(served, rows, top, Ticket()))

    def matrix(self, catalog: Catalog, row: Mapping[str, Any], top: int | None) -> dict[str, Any]:
        return self._waited(self._compute.matrix(catalog, row, None, top, Ticket()))

    def _waited(self, answers: Coroutine[Any, Any, tuple[T, Spent]]) -> T:
        return asyncio.run_coroutine_threadsafe(answers, self._loop).result()[0]


def _pooled(engine: str, texts: list[str]) -> Steps[NDArray[np.float32]]:
    (vectors,) = yield [Call(engine, texts)]
    return np.asarray(vectors, np.float32)
