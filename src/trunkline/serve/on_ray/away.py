"""Rows of products on a trunk go to a replica of that trunk; all else is computed in the server itself. A call whose
replica dies is sent to another one: to compute it twice changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from time import monotonic
from typing import Any, Protocol

import orjson

from trunkline.explain.why import Asked
from trunkline.serve.catalog import Catalog, Served
from trunkline.serve.computing import Answers, Compute, Executed, Vectors
from trunkline.serve.log import log
from trunkline.serve.on_ray.order import named, opened, who
from trunkline.serve.schedule import Spent, Ticket
from trunkline.serve.why import Told
from trunkline.serve.wire import LateError

_PAUSE = 0.05  # before a lost call is sent again; Ray learns of a death within it
_OVER = 1.0  # seconds beyond the deadline in which a replica still says by itself that it is late


class Group(Protocol):
    """The replicas of one trunk."""

    lost: tuple[type[Exception], ...]  # what is raised for a call whose replica died

    async def call(self, method: str, *order: Any) -> Any: ...


class Cluster(Protocol):
    """Where the replicas are; makes those of a trunk that it has none of yet."""

    async def group(self, trunks: tuple[str, ...]) -> Group: ...


def trunks_of(served: Served) -> tuple[str, ...]:
    """"trunk:<id>" of what a product stands on; () for one that is computed in the server."""
    return tuple(sorted(f"trunk:{card.id}" for card in served.bundle.manifest.trunks))


class Away:
    """See `computing.Compute`. here: what computes in this process. executed: is told of what engines of replicas ran."""

    def __init__(self, here: Compute, executed: Executed, cluster: Cluster) -> None:
        self._here, self._executed, self._cluster = here, executed, cluster

    async def rows(
        self, served: Served, rows: Sequence[Any], top: int | None, ticket: Ticket
    ) -> tuple[Answers, Spent]:
        trunks = trunks_of(served)
        if not trunks:
            return await self._here.rows(served, rows, top, ticket)
        body, spent = await self._ask(trunks, ticket, "rows", named(served), list(rows), top)
        return orjson.loads(body), spent

    async def matrix(
        self, catalog: Catalog, row: Mapping[str, Any], asked: Sequence[str] | None, top: int | None, ticket: Ticket
    ) -> tuple[dict[str, Any], Spent]:
        names = list(dict.fromkeys(asked)) if asked is not None else sorted(catalog.products)
        groups: dict[tuple[str, ...], list[str]] = {}
        for name in names:
            served = catalog.products.get(name)
            groups.setdefault(trunks_of(served) if served else (), []).append(name)
        here = groups.pop((), [])
        parts = [self._part(catalog, trunks, of, row, asked is not None, top, ticket) for trunks, of in groups.items()]
        if here:
            mine = catalog if asked is not None else _only(catalog, here)
            parts.append(self._here.matrix(mine, row, here if asked is not None else None, top, ticket))
        answers: dict[str, dict[str, Any]] = {}
        whole = Spent()
        for found, spent in await asyncio.gather(*parts):
            answers |= {one["product"]: one for one in found["answers"]}
            whole = Spent(
                max(whole.queue, spent.queue), max(whole.compute, spent.compute),
                whole.asked + spent.asked, whole.computed + spent.computed,
            )  # fmt: skip
        return {"answers": [answers[name] for name in names if name in answers]}, whole

    async def _part(
        self, catalog: Catalog, trunks: tuple[str, ...], names: Sequence[str], row: Mapping[str, Any], asked: bool,
        top: int | None, ticket: Ticket,
    ) -> tuple[dict[str, Any], Spent]:  # fmt: skip
        who_answers = [named(catalog.products[name]) for name in names]
        body, spent = await self._ask(trunks, ticket, "matrix", who_answers, dict(row), asked, top)
        return orjson.loads(body), spent

    async def vectors(self, engine: str, texts: list[str], ticket: Ticket) -> tuple[Vectors, Spent]:
        return await self._ask((engine,), ticket, "vectors", engine, texts)

    async def why(
        self, served: Served, rows: Sequence[Any], asked: Asked, top: int | None, ticket: Ticket
    ) -> tuple[Told, Spent]:
        trunks = trunks_of(served)
        if not trunks:
            return await self._here.why(served, rows, asked, top, ticket)
        body, spent = await self._ask(trunks, ticket, "why", named(served), list(rows), asdict(asked), top)
        return Told(**orjson.loads(body)), spent

    async def _ask(self, trunks: tuple[str, ...], ticket: Ticket, method: str, *order: Any) -> tuple[Any, Spent]:
        """Until there is an answer or the deadline has passed. Raises what the replica raised, and LateError."""
        group = await self._cluster.group(trunks)
        while True:
            left = None if ticket.deadline is None else ticket.deadline - monotonic()
            if left is not None and left <= 0:
                raise LateError("the deadline passed before the row was computed")
            try:
                async with asyncio.timeout(None if left is None else left + _OVER):
                    reply = await group.call(method, who(ticket), *order)
                for ran in reply.get("ran", ()):
                    self._executed(*ran)
                return opened(reply)
            except TimeoutError:
                raise LateError("the deadline passed before a replica answered") from None
            except group.lost as error:
                fields = {"product": ticket.product, "trunks": "+".join(trunks), "error": type(error).__name__}
                log.warning("a replica was lost; its call is sent again", extra={"fields": fields})
            await asyncio.sleep(_PAUSE)


def _only(catalog: Catalog, names: Sequence[str]) -> Catalog:
    return Catalog({name: catalog.products[name] for name in names}, {}, catalog.engines)
