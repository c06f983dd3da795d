"""Bulk jobs: a file is sent once, answered in the background, and its answers fetched later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any

from trunkline.client import asked, results
from trunkline.client.errors import JobError
from trunkline.client.results import Answer, Job
from trunkline.client.sending import AsyncSender, Sender

Progress = Callable[[Job], Any]  # called with the job each time that it was looked at


class JobCalls(Sender):
    """A job is named by itself or its id. Its files stream from and to the disk."""

    def submit(
        self,
        product: str,
        file: str | PathLike[str],
        *,
        media: str | None = None,
        all_scores: bool = False,
        idempotency_key: str | None = None,
    ) -> Job:
        """A job for a file of rows: .csv, .jsonl (.ndjson) or .parquet, or what `media` says ("text/csv;
        charset=gb18030"). Raises RequestError for other files, OSError for one that can't be read."""
        return self._send(asked.submit(product, Path(file), media, all_scores, idempotency_key))

    def job(self, job: Job | str) -> Job:
        """How it stands now."""
        return self._send(asked.job(job))

    def jobs(self, limit: int = 100) -> list[Job]:
        """Your organisation's, the newest first."""
        return self._send(asked.jobs(limit))

    def wait(
        self, job: Job | str, *, progress: Progress | None = None, every: float = 1.0, timeout: float | None = None
    ) -> Job:
        """The job once it is done; looks at it every so many seconds.

        Raises JobError where it failed or was cancelled, or hasn't ended after `timeout` seconds.
        """
        until = None if timeout is None else monotonic() + timeout
        while not _done(now := self.job(job), progress, until, every):
            sleep(every)
        return now

    def download(self, job: Job | str, to: str | PathLike[str], *, format: str | None = None) -> Path:
        """Its answers as a file, whole or not at all: "ndjson", "csv" or "parquet", else as the file's name ends."""
        path = Path(to)
        self._fetch(asked.job_answers(job, format or asked.format_of(path)), path)
        return path

    def answers(self, job: Job | str) -> Iterator[Answer]:
        """One a row, in order; they wait in a temporary file."""
        now = self.job(job)
        with TemporaryDirectory() as temp:
            path = self.download(now, Path(temp) / "answers.ndjson")
            with path.open("rb") as file:
                for line in file:
                    yield results.answer_line(line, now)

    def cancel(self, job: Job | str) -> Job:
        return self._send(asked.cancel(job))

    def delete(self, job: Job | str) -> None:
        """Forget it, and remove its files from the server."""
        self._send(asked.delete(job))


class AsyncJobCalls(AsyncSender):
    """`JobCalls`, awaited."""

    async def submit(
        self,
        product: str,
        file: str | PathLike[str],
        *,
        media: str | None = None,
        all_scores: bool = False,
        idempotency_key: str | None = None,
    ) -> Job:
        return await self._send(asked.submit(product, Path(file), media, all_scores, idempotency_key))

    async def job(self, job: Job | str) -> Job:
        return await self._send(asked.job(job))

    async def jobs(self, limit: int = 100) -> list[Job]:
        return await self._send(asked.jobs(limit))

    async def wait(
        self, job: Job | str, *, progress: Progress | None = None, every: float = 1.0, timeout: float | None = None
    ) -> Job:
        until = None if timeout is None else monotonic() + timeout
        while not _done(now := await self.job(job), progress, until, every):
            await asyncio.sleep(every)
        return now

    async def download(self, job: Job | str, to: str | PathLike[str], *, format: str | None = None) -> Path:
        path = Path(to)
        await self._fetch(asked.job_answers(job, format or asked.format_of(path)), path)
        return path

    async def answers(self, job: Job | str) -> AsyncIterator[Answer]:
        now = await self.job(job)
        with TemporaryDirectory() as temp:
            path = await self.download(now, Path(temp) / "answers.ndjson")
            with path.open("rb") as file:
                for line in file:
                    yield results.answer_line(line, now)

    async def cancel(self, job: Job | str) -> Job:
        return await self._send(asked.cancel(job))

    async def delete(self, job: Job | str) -> None:
        await self._send(asked.delete(job))


def _done(job: Job, progress: Progress | None, until: float | None, every: float) -> bool:
    """False while it is to be looked at again. Raises JobError."""
    if progress is not None:
        progress(job)
    if job.state == "done":
        return True
    if job.state in ("failed", "cancelled") or (until is not None and monotonic() + every > until):
        raise JobError(job)
    return False
