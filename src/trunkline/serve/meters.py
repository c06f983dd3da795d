"""What the server counts, for Prometheus, split as Triton splits it: requests, inferences (rows), executions
(batches), and where the time went: in the queue or in the engine.

Several worker processes count into one directory of mapped files, prometheus_client's own way, so that
whichever worker is asked for /metrics answers for all; counts outlive a worker that died. One process alone
counts in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from trunkline.engines.threads import pool

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from trunkline.engines.settings import Settings
    from trunkline.serve.schedule import Spent

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when it is imported
OTHER = "other"  # the product label of what is not served, and of all beyond MAX_SERIES
MAX_SERIES = 10_000  # of product, version and engine; a process that lives long sees many versions
SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)  # few: every product has three times as many series
_LOOK_SECONDS = 0.5  # between two looks at the queues, where workers count together
_PRODUCT = ("product", "version", "engine")


def share(directory: Path) -> None:
    """Before the workers start: let them count together. Counts of an earlier run are dropped."""
    directory.mkdir(parents=True, exist_ok=True)
    for file in directory.glob("*.db"):
        file.unlink()
    os.environ[DIRECTORY] = str(directory)


def gone(pid: int) -> None:
    """A worker has died: rows that waited in it wait no more. What it counted stays."""
    if DIRECTORY in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]


class Meter:
    """The numbers of one process. `request` and `executed` may be called from any thread.

    served: is a product of that name known here; other names are never labels. waiting: engine -> rows in its queue.
    settings: engine -> its settings, of those in memory.
    """

    def __init__(
        self,
        served: Callable[[str], bool],
        waiting: Callable[[], Mapping[str, int]],
        settings: Callable[[], Mapping[str, Settings]] = dict,
    ) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

        disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of the text otherwise, and of no use to Prometheus
        self._served, self._waiting, self._settings = served, waiting, settings
        self._series: dict[tuple[str, str, str], _Series] = {}
        self._looked = 0.0
        own = self.registry = CollectorRegistry()
        status, engine = (*_PRODUCT, "status"), ("engine",)
        self._requests = Counter(
            "trunkline_requests", "Requests answered, by HTTP status.", status, registry=own
        )
        self._rows = Counter("trunkline_inferences", "Rows answered.", _PRODUCT, registry=own)
        self._reused = Counter(
            "trunkline_reused_rows",
            "Inputs that were in flight or known already, and so not computed.",
            _PRODUCT,
            registry=own,
        )
        self._seconds = Histogram(
            "trunkline_request_seconds",
            "From the request's head to its end.",
            _PRODUCT,
            buckets=SECONDS,
            registry=own,
        )
        self._queue = Histogram(
            "trunkline_queue_seconds",
            "Spent waiting for the engine.",
            _PRODUCT,
            buckets=SECONDS,
            registry=own,
        )
        self._compute = Histogram(
            "trunkline_compute_seconds", "Spent in the engine.", _PRODUCT, buckets=SECONDS, registry=own
        )
        self._executions = Counter("trunkline_executions", "Batches run by an engine.", engine, registry=own)
        self._executed_rows = Counter(
            "trunkline_executed_rows", "Rows in those batches.", engine, registry=own
        )
        self._executed_seconds = Counter(
            "trunkline_executed_seconds", "Time in those batches, of all threads.", engine, registry=own
        )
        self._waits = Gauge(
            "trunkline_waiting_rows",
            "Rows in an engine's queue.",
            engine,
            registry=own,
            multiprocess_mode="livesum",
        )
        counts = (self._executions, self._executed_rows, self._executed_seconds)
        self._engine = cache(lambda engine: [count.labels(engine) for count in counts])
        self._set = Gauge(
            "trunkline_engine_setting",
            "Rows and tokens of a batch at most, threads at a time, and whether that was measured here.",
            ("engine", "setting"),
            registry=own,
            multiprocess_mode="livemostrecent",
        )

    def request(
        self, product: str, version: str, engine: str, status: int, rows: int, spent: Spent, seconds: float
    ) -> None:
        """One request is answered. rows: those answered, 0 where it failed; seconds: all in all."""
        series = self._of(product, version, engine)
        series.requests(status).inc()
        series.seconds.observe(seconds)
        if not rows:
            return
        series.rows.inc(rows)
        series.queue.observe(spent.queue)
        series.compute.observe(spent.compute)
        if spent.asked > spent.computed:
            series.reused.inc(spent.asked - spent.computed)

    def job(self, product: str, version: str, engine: str, rows: int, reused: int) -> None:
        """Rows of a bulk job are answered: no request waits for them."""
        series = self._of(product, version, engine)
        series.rows.inc(rows)
        series.reused.inc(reused)

    def executed(self, engine: str, rows: int, seconds: float, batches: int = 1) -> None:
        """Batches have run, one here or several in a replica."""
        ran, inferred, took = self._engine(engine)
        ran.inc(batches)
        inferred.inc(rows)
        took.inc(seconds)
        if DIRECTORY in os.environ and monotonic() > self._looked + _LOOK_SECONDS:  # another worker may be asked
            self._look()

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """(all numbers of all workers, their media type): OpenMetrics where asked for."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder
        from prometheus_client.multiprocess import MultiProcessCollector

        self._look()
        for engine, now in self._settings().items():  # the worker that is asked tells its own: all are of one machine
            told = {"rows": now.batch.rows, "tokens": now.batch.tokens, "threads": now.threads, "measured": now.measured}
            for name, value in told.items():
                self._set.labels(engine, name).set(value)
        registry: CollectorRegistry = self.registry
        if DIRECTORY in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        encode, media = choose_encoder(accept)
        return encode(registry), media

    def _look(self) -> None:
        self._looked = monotonic()
        for engine, rows in self._waiting().items():
            self._waits.labels(engine).set(rows)

    def _of(self, product: str, version: str, engine: str) -> _Series:
        key = (product, version, engine) if self._served(product) else (OTHER, "", "")
        found = self._series.get(key)
        if found is None:
            if len(self._series) >= MAX_SERIES:
                key = (OTHER, "", "")
            found = self._series.setdefault(key, _Series(self, key))
        return found


class _Series:
    """The numbers of one product, version and engine: looked up once, then only counted."""

    def __init__(self, meter: Meter, key: tuple[str, str, str]) -> None:
        self._of_status = meter._requests
        self._key = key
        self._by_status: dict[int, Counter] = {}
        self.rows, self.reused = meter._rows.labels(*key), meter._reused.labels(*key)
        self.seconds = meter._seconds.labels(*key)
        self.queue, self.compute = meter._queue.labels(*key), meter._compute.labels(*key)

    def requests(self, status: int) -> Counter:
        found = self._by_status.get(status)
        if found is None:
            found = self._by_status[status] = self._of_status.labels(*self._key, str(status))
        return found


def routes(meter: Meter) -> list[Route]:
    import asyncio  # the parent of the workers imports this module too, and has no use for these

    from starlette.responses import Response
    from starlette.routing import Route

    async def metrics(request: Request) -> Response:
        accept = request.headers.get("accept", "")
        text, media = await asyncio.get_running_loop().run_in_executor(pool(), meter.text, accept)
        return Response(text, headers={"content-type": media})

    return [Route("/metrics", metrics)]
