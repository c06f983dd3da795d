"""The background task of a server process that does bulk jobs, one at a time."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

from trunkline.errors import TrunklineError
from trunkline.serve.app import Server
from trunkline.serve.jobs.place import KIND, Place
from trunkline.serve.jobs.work import Work
from trunkline.serve.log import log

if TYPE_CHECKING:
    from trunkline.store.database import Store
    from trunkline.store.jobs import Job, Lease

LEASE_SECONDS = 15.0  # after which the job of a killed process is taken up by another
POLL_SECONDS = 1.0
SWEEP_SECONDS = 3600.0
TROUBLE_SECONDS = 10.0  # until it is tried again, where the store or the disk fails
MOST_TRIES = 3  # a job on which the process dies so often, without a row, would go on killing it


class Runner:
    """`run` until it is cancelled; `wake` when there is a new job."""

    def __init__(self, server: Server, place: Place) -> None:
        self._server, self._place = server, place
        self._woken = asyncio.Event()
        self._sweep_at = float("-inf")
        self._trouble = ""

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Cancelled, it stops within moments: what was answered is kept, and the job is free for others."""
        while True:
            self._woken.clear()
            pause = POLL_SECONDS
            try:
                while await self._one():
                    self._trouble = ""
            except (TrunklineError, OSError) as error:
                self._say(error)
                pause = TROUBLE_SECONDS
            try:
                await asyncio.wait_for(self._woken.wait(), pause)
            except TimeoutError:
                continue

    async def _one(self) -> bool:
        """Does one job, or a turn of it; False if there was none. Raises StoreError, MissingExtra, OSError."""
        store = await asyncio.to_thread(self._place.store)
        mark = await asyncio.to_thread(self._place.mark)
        if store is None or mark is None:
            return False
        if monotonic() >= self._sweep_at:
            self._sweep_at = monotonic() + SWEEP_SECONDS
            await asyncio.to_thread(self._place.sweep, store, mark, datetime.now(UTC))
        job = await self._take(store, mark)
        if job is None:
            return False
        await self._do(store, job)
        return True

    async def _take(self, store: Store, mark: str) -> Job | None:
        """A job to do, leased. Cancelled in between, it leaves none behind that nobody does."""
        taking = asyncio.ensure_future(asyncio.to_thread(_taken, store, mark))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            if (job := await taking) is not None:
                await asyncio.to_thread(_give_back, store, job)
            raise

    async def _do(self, store: Store, job: Job) -> None:
        lease = _lease(job)
        work = Work(self._server, self._place, store, job, lease)
        working = asyncio.create_task(work.run() if job.tries <= MOST_TRIES else work.give_up(MOST_TRIES))
        beating = asyncio.create_task(self._beat(store, lease))
        try:
            await asyncio.wait({working, beating}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, beating):
                task.cancel()
            await asyncio.wait({working, beating})
        if not working.cancelled():
            working.result()

    async def _beat(self, store: Store, lease: Lease) -> None:
        """Ends when the job is no longer this worker's. A store that can't be reached has the same effect in time:
        the lease runs out, and what this worker writes down is refused."""
        from trunkline.store.jobs import renew_job

        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            try:
                if not await asyncio.to_thread(renew_job, store, lease, datetime.now(UTC)):
                    return
            except TrunklineError as error:
                self._say(error)

    def _say(self, error: Exception) -> None:
        """Once, not at each try."""
        if str(error) != self._trouble:
            self._trouble = str(error)
            parts = error.as_dict() if isinstance(error, TrunklineError) else {"error": type(error).__name__}
            log.error("bulk jobs can't go on", extra={"fields": parts})


def _taken(store: Store, mark: str) -> Job | None:
    from trunkline.store.jobs import job_waits, take_job

    now = datetime.now(UTC)
    if not job_waits(store, KIND, mark, now, LEASE_SECONDS):  # a look takes no lock
        return None
    return take_job(store, KIND, mark, secrets.token_hex(16), now, LEASE_SECONDS)


def _give_back(store: Store, job: Job) -> None:
    from trunkline.store.jobs import return_job

    return_job(store, _lease(job), datetime.now(UTC))


def _lease(job: Job) -> Lease:
    from trunkline.store.jobs import Lease

    assert job.holder is not None
    return Lease(job.id, job.holder, LEASE_SECONDS)
