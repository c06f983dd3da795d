"""One job, from where it stands to its end."""

from __future__ import annotations

import asyncio
import traceback
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from trunkline.errors import BundleError, DataError, RequestError, TrunklineError
from trunkline.serve import ndjson
from trunkline.serve.answer import broken, error_answer
from trunkline.serve.app import Server, aside
from trunkline.serve.catalog import Served
from trunkline.serve.jobs.ledger import Chunk, Ledger, LostError
from trunkline.serve.jobs.place import Place
from trunkline.serve.jobs.rows import ROWS, File
from trunkline.serve.log import log
from trunkline.serve.opening import prove
from trunkline.serve.schedule import Spent, Ticket
from trunkline.store.place import StoreError
from trunkline.types import Refused

if TYPE_CHECKING:
    from trunkline.store.database import Store
    from trunkline.store.jobs import Job, Lease

T = TypeVar("T")

# (rows asked for together, how often at a time). While live calls come few: a call's row is computed together with
# rows of its length that wait, and behind what is being computed, so each of a job's rows in the queue can delay it.
IDLE, LIVE = (ROWS, 2), (4, 1)
LIVE_SECONDS = 1.0  # after which a live call is forgotten
PATIENCE_SECONDS = 0.1  # that a job waits for the moment in which no live call is under way
TURN_SECONDS = 60.0  # that a job is worked on while others wait
_SKIPS = 10  # or so many times as long as it took to get to the row where it goes on


class _TurnOverError(Exception):
    """Others wait."""


class Work:
    """What a worker does with a job that it holds. `run` once."""

    def __init__(self, server: Server, place: Place, store: Store, job: Job, lease: Lease) -> None:
        self._server, self._place, self._store, self._job, self._lease = server, place, store, job, lease
        self._ledger = Ledger(place, store, job, lease)
        self._turn_ends = float("inf")

    async def run(self) -> None:
        """Ends when the job has ended or is no longer this worker's; cancelled, it leaves the job for others at once.

        Raises StoreError, and OSError as of a full disk: then others, or this worker later, go on with it.
        """
        try:
            await self._answer_all()
        except asyncio.CancelledError:
            await self._leave()
            raise
        except LostError:
            await self._tidy()
        except _TurnOverError:
            await self._return()
        except OSError:
            if self._place.rows(self._job.id).exists():
                await self._return()
                raise
            await self._fail(TrunklineError("the file of this job is gone", hint="send it again"))
        except StoreError:
            raise
        except TrunklineError as error:
            await self._fail(error)
        except Exception as error:  # noqa: BLE001 - the job fails with it; its message could quote a row
            places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-5:]]
            fields = {"job": self._job.id, "error": type(error).__name__, "places": places}
            log.error("breakage", extra={"fields": fields})
            await self._fail(TrunklineError("the server broke on this job", hint="see its log by the job's id"))

    async def give_up(self, tries: int) -> None:
        """Instead of `run`, where the process has died each time before it had a row. Raises StoreError."""
        await self._fail(TrunklineError(f"the server died {tries} times over this file", hint="send shorter rows"))

    async def _answer_all(self) -> None:
        from trunkline.store.jobs import end_job

        served = await self._served()
        if self._job.total is None:
            await self._look(served)
        async with aclosing(self._chunks(served)) as chunks:
            async for chunk in chunks:
                if self._ledger.add(chunk):
                    await self._ledger.keep()
                    await self._check_turn()
        await self._ledger.keep()
        _still(await asyncio.to_thread(end_job, self._store, self._lease, "done", datetime.now(UTC)))
        await asyncio.to_thread(self._place.rows(self._job.id).unlink, missing_ok=True)
        _log("a job is done", self._job, rows=self._job.total)

    async def _served(self) -> Served:
        """The version that the job was made for, verified and replayed. Raises BundleError, StoreError."""
        name, wanted = self._job.product, self._job.request
        try:
            served = await asyncio.to_thread(self._server.live.version, name, wanted["version"])
            if served.bundle.manifest.digest.answers != wanted["digest"]:
                raise BundleError("it is another bundle by now")
            await aside(lambda: prove(served))
        except StoreError:
            raise  # the registry can't be asked now
        except TrunklineError as error:
            raise BundleError(
                f"{name} {wanted['version']}, for which the job was made, can't answer any more",
                found=error.what,
                hint="send it again, to the version that is live now",
            ) from None
        return served

    async def _look(self, served: Served) -> None:
        """Reads the whole file once, which takes seconds, so that what is wrong with it isn't found after hours."""
        from trunkline.store.jobs import size_job

        file, total = await asyncio.to_thread(self._file().found), 0
        async for seen in _driven(file.look(served.bundle.spec.inputs)):
            total = seen
        request = {**self._job.request, "encoding": file.encoding}
        now = datetime.now(UTC)
        _still(await asyncio.to_thread(size_job, self._store, self._lease, total, request, now))
        self._job = replace(self._job, total=total, request=request)

    def _file(self) -> File:
        asked = self._job.request
        return File(self._place.rows(self._job.id), asked["media"], asked["encoding"])

    async def _chunks(self, served: Served) -> AsyncGenerator[Chunk, None]:
        """Answers from where the job stands, in order; of some batches at a time."""
        under_way: deque[asyncio.Task[Chunk]] = deque()
        at, began = self._job.progress, perf_counter()
        try:
            async for rows in _driven(self._file().batches(at)):
                if not rows:
                    continue
                if at == self._job.progress:
                    self._ledger.start()
                    self._turn_ends = perf_counter() + max(TURN_SECONDS, _SKIPS * (perf_counter() - began))
                while rows:
                    most, ahead = await self._room()
                    while len(under_way) >= ahead:
                        yield await under_way.popleft()
                    asked, rows = rows[:most], rows[most:]
                    under_way.append(asyncio.create_task(self._answered(served, asked, at)))
                    at += len(asked)
            while under_way:
                yield await under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _room(self) -> tuple[int, int]:
        """(rows to ask for together, how often at a time): few while live calls come, and none while they wait."""
        admission = self._server.admission
        if admission.total:
            with suppress(TimeoutError):
                await asyncio.wait_for(admission.idle.wait(), PATIENCE_SECONDS)
            return LIVE
        return LIVE if monotonic() - admission.last < LIVE_SECONDS else IDLE

    async def _answered(self, served: Served, rows: list[Any], start: int) -> Chunk:
        """In a lane of its own, so that live calls of the same caller have their turns, and without a deadline."""
        job = self._job
        ticket = Ticket(job.organisation, f"job:{job.owner}", job.product, reuse=served.bundle.spec.serve.reuse)
        good, spent = [row for row in rows if not isinstance(row, Refused)], Spent()
        try:
            answers, spent = await self._server.compute.rows(served, good, job.request["top"], ticket) if good else ([], spent)
        except (RequestError, DataError) as error:  # what breaks on all of these rows is said on each, as in a stream
            answers = [error_answer(ndjson.refused(error))] * len(good)
        except TrunklineError:
            raise  # the product can't answer at all
        except Exception as error:  # noqa: BLE001 - each row says it
            answers = [error_answer(broken(error))] * len(good)
        chunk = await aside(lambda: _chunk(served, rows, answers, start))
        engine = served.bundle.manifest.engine
        self._server.meter.job(job.product, served.bundle.version, engine, len(rows), spent.asked - spent.computed)
        return chunk

    async def _check_turn(self) -> None:
        from trunkline.store.jobs import job_waits

        if perf_counter() < self._turn_ends:
            return
        job, now = self._job, datetime.now(UTC)
        if await asyncio.to_thread(job_waits, self._store, job.kind, job.place, now, self._lease.seconds):
            raise _TurnOverError

    async def _leave(self) -> None:
        """Told to stop: what was answered counts, what is under way is given up."""
        try:
            await self._ledger.close()
            await self._return()
        except LostError:
            await self._tidy()  # that is why it was told
        except (StoreError, OSError) as error:
            fields = {"job": self._job.id, "error": type(error).__name__}
            log.warning("a job was left as it stood", extra={"fields": fields})

    async def _tidy(self) -> None:
        """Who cancelled or deleted the job removed its files, but maybe not the last that was written."""
        from trunkline.store.jobs import find_job

        job = await asyncio.to_thread(find_job, self._store, self._job.id)
        if job is None or job.state == "cancelled":
            await asyncio.to_thread(self._place.drop, self._job.id)

    async def _return(self) -> None:
        from trunkline.store.jobs import return_job

        await asyncio.to_thread(return_job, self._store, self._lease, datetime.now(UTC))

    async def _fail(self, error: TrunklineError) -> None:
        from trunkline.store.jobs import end_job

        said = _said(error, str(self._place.rows(self._job.id)))
        if await asyncio.to_thread(end_job, self._store, self._lease, "failed", datetime.now(UTC), said):
            await asyncio.to_thread(self._place.drop, self._job.id)
            _log("a job failed", self._job, what=error.what)


async def _driven(steps: Iterator[T]) -> AsyncIterator[T]:
    """Each step in the compute pool, in its turn with what live calls need there."""
    end = object()
    while (found := await aside(lambda: next(steps, end))) is not end:
        yield found  # type: ignore[misc]


def _chunk(served: Served, rows: Sequence[Any], answers: Sequence[dict[str, Any]], start: int) -> Chunk:
    """A line for each row."""
    found = ndjson.merged(rows, answers, start, served.bundle.spec.data.id or None)
    return Chunk(ndjson.lines_of(found), len(rows), sum(one["status"] == "error" for one in found))


def _said(error: TrunklineError, path: str) -> dict[str, str]:
    """The error for the one who sent the file: without the server's paths, or advice on product.toml."""
    parts = {name: text.replace(path, "the file") for name, text in error.as_dict().items()}
    if "[data]" in parts.get("try", ""):
        parts["try"] = "save it as UTF-8, or name its encoding: content-type: text/csv; charset=gb18030"
    return parts


def _log(message: str, job: Job, **fields: Any) -> None:
    log.info(message, extra={"fields": {"job": job.id, "product": job.product, "version": job.request["version"], **fields}})


def _still(mine: bool) -> None:
    if not mine:
        raise LostError
