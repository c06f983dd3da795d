"""Which answers of a job count.

Answers go to a file of this worker's own, to the disk, and only then is it written down that they count. So
whatever is killed at whatever moment, what counts is every row's answer up to some row, once and in order; and a
worker that lost its lease without knowing harms nobody.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING

from trunkline.files import sync
from trunkline.serve.jobs.place import Place

if TYPE_CHECKING:
    from trunkline.store.database import Store
    from trunkline.store.jobs import Job, Lease

KEEP_SECONDS = 1.0  # of work that a crash may cost
KEEP_BYTES = 4_000_000  # of answers in memory


class LostError(Exception):
    """The job is no longer this worker's: cancelled, deleted, or taken over."""


@dataclass(frozen=True)
class Chunk:
    """Answers of rows that follow each other, a line each; `errors` of them say error."""

    lines: bytes
    rows: int
    errors: int


class Ledger:
    """The answers of one worker to one job. Used on the event loop; files and store are written beside it."""

    def __init__(self, place: Place, store: Store, job: Job, lease: Lease) -> None:
        self._store, self._lease = store, lease
        self._part = place.folder(job.id) / lease.holder
        self._rows, self._errors, self._seconds, self._parts = job.progress, job.errors, job.seconds, list(job.parts)
        self._waiting: list[Chunk] = []  # answered, and not on disk yet
        self._bytes = 0
        self._keeping: asyncio.Task[None] | None = None
        self._since = perf_counter()

    def start(self) -> None:
        """From now on the time is counted: what came before was no answering."""
        self._since = perf_counter()

    def add(self, chunk: Chunk) -> bool:
        """The next answers; True when it is time to keep them."""
        self._waiting.append(chunk)
        self._bytes += len(chunk.lines)
        return self._bytes >= KEEP_BYTES or perf_counter() - self._since >= KEEP_SECONDS

    async def keep(self) -> None:
        """All that was added counts from now on. Cancelled, it goes on: `close` waits for it.

        Raises LostError, StoreError, and OSError as of a full disk.
        """
        self._keeping = asyncio.create_task(self._keep())
        await asyncio.shield(self._keeping)

    async def close(self) -> None:
        """Keeps what was added, after a `keep` that is under way. Raises as `keep` does."""
        if self._keeping is not None:
            await self._keeping
        await self._keep()

    async def _keep(self) -> None:
        from trunkline.store.jobs import Progress, keep_job

        chunks, self._waiting, self._bytes = self._waiting, [], 0
        if not chunks:
            return
        now = perf_counter()
        size = await asyncio.to_thread(self._append, b"".join(chunk.lines for chunk in chunks))
        others = [part for part in self._parts if part[0] != self._lease.holder]
        done = Progress(
            self._rows + sum(chunk.rows for chunk in chunks),
            self._errors + sum(chunk.errors for chunk in chunks),
            self._seconds + now - self._since,
            [*others, (self._lease.holder, size)],
        )
        if not await asyncio.to_thread(keep_job, self._store, self._lease, done, datetime.now(UTC)):
            raise LostError
        self._rows, self._errors, self._seconds, self._parts = done.rows, done.errors, done.seconds, list(done.parts)
        self._since = now

    def _append(self, lines: bytes) -> int:
        """How many bytes the file has after it, all of them on disk."""
        new = not self._part.exists()
        with os.fdopen(os.open(self._part, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        if new:
            sync(self._part.parent)
        return size
