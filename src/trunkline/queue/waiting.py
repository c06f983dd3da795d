"""What stands in the queue: a `trunkline` command with the limits it runs within. Plain values; nothing runs here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trunkline.errors import TrunklineError
from trunkline.serve.jobs.place import Place

if TYPE_CHECKING:
    from trunkline.store.database import Store
    from trunkline.store.jobs import Job

KIND = "training"
COMMANDS = ("train", "tune", "shrink", "pretrain")
MOST = 1_000  # that wait or run
KEPT = timedelta(days=30)  # that one which ended is listed
_SHOWN = 8  # characters of an id


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """words: of the command line, without `trunkline`. folder: where they were said, for paths in them.

    cores, gpus: how many are its own while it runs. memory_mb: of its processes, without files that are mapped;
    past it the job is ended. priority: the higher goes first.
    """

    words: list[str]
    folder: str
    cores: int = 1
    memory_mb: int = 4_000
    gpus: int = 0
    priority: int = 0


def wanted(job: Job) -> Wanted:
    return msgspec.convert(job.request, Wanted)


def by_turn(jobs: Sequence[Job]) -> list[Job]:
    """The highest priority first; among equals whoever came first."""
    return sorted(jobs, key=lambda job: (-wanted(job).priority, job.created, job.id))


def add(folder: Path, what: Wanted, store: str | None = None) -> dict[str, Any]:
    """A new job of the queue in `folder`. Raises TrunklineError for a command that can't wait, StoreError."""
    if not what.words or what.words[0] not in COMMANDS:
        found = what.words[0] if what.words else "nothing"
        raise TrunklineError("this can't be queued", found=found, wanted=" | ".join(COMMANDS), hint="trunkline queue add train FOLDER")
    with opened(folder, store) as (place, there):
        from trunkline.store.jobs import Job, add_job

        job = Job(
            kind=KIND, product=_product(what), organisation="", owner="", request=msgspec.to_builtins(what),
            created=datetime.now(UTC), place=place.marked(),
        )  # fmt: skip
        if not add_job(there, job, MOST):
            raise TrunklineError("the queue is full", where=str(folder), found=f"{MOST:,} jobs", hint="trunkline queue cancel ID")
    return shown(job)


def listed(folder: Path, store: str | None = None) -> list[dict[str, Any]]:
    """Running ones first, then in the order of their turns, then what ended, the newest first. Raises StoreError."""
    with opened(folder, store) as (place, there):
        found = [job for job in _jobs(there) if job.place == place.mark()]
    waits = [job for job in found if job.state == "queued"]
    runs = [job for job in found if job.state == "running"]
    return [shown(job) for job in (*runs, *by_turn(waits), *(job for job in found if not job.open))]


def cancel(folder: Path, id_: str, store: str | None = None) -> dict[str, Any]:
    """Ends a job, waiting or running: a running one stops within seconds. Raises TrunklineError, StoreError."""
    return _changed(folder, id_, store, "cancel")


def resume(folder: Path, id_: str, store: str | None = None) -> dict[str, Any]:
    """Queues one that failed or was cancelled again; a network goes on from its last checkpoint. Raises as `cancel`."""
    return _changed(folder, id_, store, "resume")


def _changed(folder: Path, id_: str, store: str | None, change: str) -> dict[str, Any]:
    from trunkline.store.jobs import cancel_job, find_job, reopen_job

    with opened(folder, store) as (place, there):
        job = one(there, place, id_)
        done = cancel_job(there, job.id, datetime.now(UTC)) if change == "cancel" else reopen_job(there, job.id)
        after = find_job(there, job.id) or job
    if not done:
        needed = "queued or running" if change == "cancel" else "failed or cancelled"
        raise TrunklineError(f"this job can't {change}", where=job.id[:_SHOWN], found=after.state, wanted=needed)
    return shown(after)


def log_of(folder: Path, id_: str, store: str | None = None) -> Path:
    """The file of what a job said. Raises TrunklineError, StoreError."""
    with opened(folder, store) as (place, there):
        return log_file(folder, one(there, place, id_))


def log_file(folder: Path, job: Job) -> Path:
    return folder.resolve() / ".trunkline" / "queue" / f"{job.id}.log"


def one(store: Store, place: Place, id_: str) -> Job:
    """The job whose id begins so. Raises TrunklineError for none or several."""
    found = [job for job in _jobs(store) if job.place == place.mark() and job.id.startswith(id_)]
    if len(found) != 1:
        what = "no job has this id" if not found else "several jobs have an id that begins so"
        raise TrunklineError(what, found=id_, hint="trunkline queue list")
    return found[0]


def shown(job: Job) -> dict[str, Any]:
    """A job as JSON-ready values."""
    what = wanted(job)
    return {
        "id": job.id, "state": job.state, "command": " ".join(what.words), "folder": what.folder, "priority": what.priority,
        "cores": what.cores, "memory_mb": what.memory_mb, "gpus": what.gpus, "created": job.created.isoformat(),
        "seconds": round(job.seconds, 1), "result": job.result,
    }  # fmt: skip


@contextmanager
def opened(folder: Path, store: str | None) -> Iterator[tuple[Place, Store]]:
    from trunkline.store.place import open_at

    if not folder.is_dir():
        raise TrunklineError("this is no folder", where=str(folder))
    there = open_at(folder, store)
    try:
        yield Place(folder, there), there
    finally:
        there.close()


def _jobs(store: Store) -> list[Job]:
    from trunkline.store.jobs import list_jobs

    return list_jobs(store, KIND, "", 10 * MOST)


def _product(what: Wanted) -> str:
    """The name of the folder it is about, for lists."""
    named = next((word for word in what.words[1:] if not word.startswith("-")), "")
    return os.path.basename(os.path.normpath(Path(what.folder, named)))[-80:]
