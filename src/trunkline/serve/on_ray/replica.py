"""A replica: the process of a Ray worker that holds one trunk and the heads of the products that stand on it. Calls of
all servers meet in its scheduler, as they do in a server that computes itself.

It follows what is deployed like any server, and answers as the very version that it is asked for.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import orjson

from trunkline.engines.threads import limit_blas
from trunkline.errors import TrunklineError
from trunkline.serve.on_ray.order import Ran, Reply, Who, answered, failed, ticket
from trunkline.serve.schedule import Spent
from trunkline.serve.wire import UnavailableError, UnknownProductError

T = TypeVar("T")
_KEPT = 16  # versions that have no role any more, as of jobs


class Replica:
    """folder: of the products, on this machine. trunks: "trunk:<id>" of the engines that are computed here."""

    def __init__(self, folder: str, trunks: Sequence[str]) -> None:
        limit_blas()
        from trunkline.serve.computing import Here
        from trunkline.serve.live import LiveCatalog
        from trunkline.serve.log import log_to_stderr
        from trunkline.serve.schedule import Scheduler
        from trunkline.serve.watch import Watcher
        from trunkline.store.place import REGISTRY, registry_at

        log_to_stderr()
        mine = frozenset(trunks)
        registry = registry_at(os.environ.get(REGISTRY), keep_open=True)
        self._live = LiveCatalog(Path(folder), registry=registry, here=mine.__contains__)
        now = self._live.snapshot()
        self._ran = _Counts()
        self._compute = Here(Scheduler(now.engines, now.key, executed=self._ran.add))
        self._others: OrderedDict[str, Any] = OrderedDict()  # by digest
        self._watcher = Watcher(self._live)
        self._watcher.__enter__()

    async def rows(self, who: Who, named: Mapping[str, str], rows: Sequence[Any], top: int | None) -> Reply:
        """Answers of one product: a JSON array."""

        async def answers() -> tuple[bytes, Spent]:
            found, spent = await self._compute.rows(await self._served(named), rows, top, ticket(who))
            return _json(found), spent

        return await self._told(answers)

    async def matrix(
        self, who: Who, named: Sequence[Mapping[str, str]], row: Mapping[str, Any], asked: bool, top: int | None
    ) -> Reply:
        """One row to many products: a JSON object. asked: they were named, so each answers, if with an error."""

        async def answers() -> tuple[bytes, Spent]:
            found = {one["product"]: await self._served(one) for one in named}
            catalog = replace(self._live.snapshot(), products=found, refused={})
            whole, spent = await self._compute.matrix(catalog, row, list(found) if asked else None, top, ticket(who))
            return _json(whole), spent

        return await self._told(answers)

    async def vectors(self, who: Who, engine: str, texts: list[str]) -> Reply:
        """(float32 (n, dim), tokens)"""
        return await self._told(lambda: self._compute.vectors(engine, texts, ticket(who)))

    async def why(
        self, who: Who, named: Mapping[str, str], rows: Sequence[Any], asked: Mapping[str, Any], top: int | None
    ) -> Reply:
        """Answers of one product with their reasons: `why.Told` as JSON."""
        from trunkline.explain.why import Asked

        async def answers() -> tuple[bytes, Spent]:
            found, spent = await self._compute.why(await self._served(named), rows, Asked(**asked), top, ticket(who))
            return _json(asdict(found)), spent

        return await self._told(answers)

    def pid(self) -> int:
        """For whoever looks after the processes."""
        return os.getpid()

    async def _told(self, answer: Callable[[], Awaitable[tuple[Any, Spent]]]) -> Reply:
        try:
            reply = answered(*await answer())
        except Exception as error:  # noqa: BLE001 - the server raises it again, to the caller whose it is
            reply = failed(error)
        reply["ran"] = self._ran.take()
        return reply

    async def _served(self, named: Mapping[str, str]) -> Any:
        """The version named, by its digest. Raises UnavailableError where this machine doesn't have it."""
        route = self._live.snapshot().routes.get(named["product"])
        here = [*(route.versions if route is not None else ()), *self._others.values()]
        for served in here:
            if served.bundle.manifest.digest.answers == named["digest"]:
                return served
        served = await asyncio.to_thread(self._found, named["product"], named["version"])
        if served.bundle.manifest.digest.answers != named["digest"]:
            raise UnavailableError(
                f"a replica has another {named['product']!r} {named['version']} than the server",
                found=served.bundle.manifest.digest.answers[:12], wanted=named["digest"][:12],
                hint="bring the same bundles to every machine of the cluster",
            )  # fmt: skip
        self._others[named["digest"]] = served
        while len(self._others) > _KEPT:
            self._others.popitem(last=False)
        return served

    def _found(self, product: str, version: str) -> Any:
        try:
            return self._live.version(product, version)
        except UnknownProductError:
            self._watcher.look(find=True)  # it may be newer than the last look
        try:
            return self._live.version(product, version)
        except TrunklineError as error:
            raise UnavailableError(
                f"a replica can't answer as {product!r} {version}: {error.what}", found=error.found, wanted=error.wanted,
                hint="bring the same bundles to every machine of the cluster",
            ) from None  # fmt: skip


class _Counts:
    """Batches of engines that no server was told of yet. Counting may come from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[str, tuple[int, float, int]] = {}

    def add(self, engine: str, rows: int, seconds: float) -> None:
        with self._lock:
            before, took, batches = self._of.get(engine, (0, 0.0, 0))
            self._of[engine] = (before + rows, took + seconds, batches + 1)

    def take(self) -> list[Ran]:
        with self._lock:
            taken, self._of = self._of, {}
        return [(engine, *counts) for engine, counts in taken.items()]


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
