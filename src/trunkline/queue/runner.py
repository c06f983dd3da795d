"""Runs what stands in the queue: each job a process of its own, with cores and graphics cards that no other job has.

Strictly in order: a job that needs more than is free makes those behind it wait too, so that a large one gets its turn.
A runner that is killed takes its jobs with it (`child`); the next one finds them and they go on from their checkpoints.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trunkline.engines.threads import THREADS_VARIABLE
from trunkline.files import folder_lock
from trunkline.queue.waiting import KEPT, KIND, Wanted, by_turn, log_file, opened, wanted
from trunkline.store.holder import new_mark

if TYPE_CHECKING:
    from trunkline.store.database import Store
    from trunkline.store.jobs import Job, Lease

CHILD = ("-m", "trunkline.queue.child")
LEASE_SECONDS = 5.0  # only one runner has a folder, so one that was stopped for longer loses nothing
LOOK_SECONDS = 0.5  # between two looks at store, processes and memory
PATIENCE_SECONDS = 10.0  # for a job to end after it was asked to
TRIES = 3  # runners that may die over a job
GATE_FAILED = 3  # the exit code of a training that went well all the same
_LINES = 8  # of a failed job's output, kept with it


@dataclass(frozen=True)
class Limits:
    """What all jobs together may have. cores, gpus: their numbers on this machine."""

    cores: tuple[int, ...]
    memory_mb: int
    gpus: tuple[int, ...] = ()


def machine() -> Limits:
    """All cores and cards that this process may use, and nine tenths of the memory."""
    import psutil

    affinity = getattr(os, "sched_getaffinity", None)
    cores = sorted(affinity(0)) if affinity else range(os.cpu_count() or 1)
    cards = sorted(int(file.name[6:]) for file in Path("/dev").glob("nvidia[0-9]*"))
    return Limits(tuple(cores), int(psutil.virtual_memory().total * 0.9 / 1e6), tuple(cards))


@dataclass
class Running:
    """A job at work. fault: why it was killed, "" as long as it wasn't."""

    job: Job
    what: Wanted
    lease: Lease
    process: subprocess.Popen[bytes]
    cores: tuple[int, ...]
    gpus: tuple[int, ...]
    log: Path
    since: float = field(default_factory=time.monotonic)
    asked_to_end: float = 0.0
    fault: str = ""

    def interrupt(self) -> None:
        """Ctrl-C first; whoever doesn't listen is killed."""
        now = time.monotonic()
        if not self.asked_to_end:
            self.asked_to_end = now
            self._signal(signal.SIGINT)
        elif now - self.asked_to_end > PATIENCE_SECONDS:
            self._signal(signal.SIGKILL)

    def kill(self, fault: str) -> None:
        self.fault = fault
        self._signal(signal.SIGKILL)

    def memory_mb(self) -> int:
        """Of the job's processes, without what is mapped from files."""
        import psutil

        total = 0
        with suppress(psutil.NoSuchProcess):  # ended meanwhile: the next look sees that
            parent = psutil.Process(self.process.pid)
            for process in (parent, *parent.children(recursive=True)):
                told = process.memory_info()
                total += told.rss - getattr(told, "shared", 0)
        return int(total / 1e6)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)  # the job and what it started: it leads a session


class Runner:
    """One a folder. `tell`: a line about what begins and ends."""

    def __init__(self, folder: Path, limits: Limits, tell: Callable[[str], None], store: str | None = None) -> None:
        self.folder, self.limits, self.tell, self._named = folder.resolve(), limits, tell, store
        self.running: list[Running] = []

    def run(self, until_empty: bool = False) -> None:
        """Until Ctrl-C, or until nothing waits. Jobs under way then go back to the queue.

        Raises BusyError where another runner has the folder, StoreError.
        """
        home = self.folder / ".trunkline" / "queue"
        with folder_lock(home, "running the queue"), opened(self.folder, self._named) as (place, store):
            from trunkline.store.jobs import drop_old

            mark = place.marked()
            drop_old(store, KIND, mark, datetime.now(UTC) - KEPT)
            try:
                while self._look(store, mark) or not until_empty:
                    time.sleep(LOOK_SECONDS)
            finally:
                self._stop(store)

    def _look(self, store: Store, mark: str) -> bool:
        """One round; False when nothing runs and nothing waits."""
        from trunkline.store.jobs import list_jobs, renew_job, waiting_jobs

        for one in list(self.running):
            if one.process.poll() is not None:
                self._ended(store, one)
            elif one.asked_to_end or not renew_job(store, one.lease, datetime.now(UTC)):
                one.interrupt()
            elif (used := one.memory_mb()) > one.what.memory_mb:
                one.kill(f"it took {used:,} MB, its limit is {one.what.memory_mb:,} MB")
        waits = by_turn(waiting_jobs(store, KIND, mark, datetime.now(UTC), LEASE_SECONDS))
        for job in waits:
            if not self._begun(store, job):
                break
        if waits or self.running:
            return True
        left = (job for job in list_jobs(store, KIND, "") if job.place == mark)  # by a runner that died, until its lease is over
        return any(job.open for job in left)

    def _begun(self, store: Store, job: Job) -> bool:
        """Starts a job if there is room; False if it has to wait, and those behind it."""
        if any(one.job.id == job.id for one in self.running):  # cancelled and queued again, and not yet ended
            return False
        what, fault = wanted(job), ""
        cores = tuple(c for c in self.limits.cores if not any(c in one.cores for one in self.running))
        gpus = tuple(g for g in self.limits.gpus if not any(g in one.gpus for one in self.running))
        memory = self.limits.memory_mb - sum(one.what.memory_mb for one in self.running)
        most = (len(self.limits.cores), self.limits.memory_mb, len(self.limits.gpus))
        if what.cores > most[0] or what.memory_mb > most[1] or what.gpus > most[2]:
            fault = "it wants more than there is: {} cores, {:,} MB, {} graphics cards of {}, {:,} and {}".format(
                what.cores, what.memory_mb, what.gpus, *most
            )
        elif job.tries >= TRIES:
            fault = f"{TRIES} times its runner died over it"
        elif what.cores > len(cores) or what.memory_mb > memory or what.gpus > len(gpus):
            return False
        self._start(store, job, what, cores[: what.cores], gpus[: what.gpus], fault)
        return True

    def _start(self, store: Store, job: Job, what: Wanted, cores: tuple[int, ...], gpus: tuple[int, ...], fault: str) -> None:
        from trunkline.store.jobs import Lease, end_job, take_this_job

        lease, now = Lease(job.id, new_mark(), LEASE_SECONDS), datetime.now(UTC)
        if take_this_job(store, job, lease.holder, now, LEASE_SECONDS) is None:
            return  # cancelled a moment ago
        if fault:
            end_job(store, lease, "failed", now, {"what": fault})
            self.tell(f"{job.id[:8]} failed: {fault}")
            return
        log = log_file(self.folder, job)
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, *CHILD, str(os.getpid()), ",".join(map(str, cores)), *what.words],
                cwd=what.folder if Path(what.folder).is_dir() else self.folder, env=_environment(cores, gpus),
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        self.running.append(Running(job, what, lease, process, cores, gpus, log))
        self.tell(f"{job.id[:8]} begins: {' '.join(what.words)}")

    def _ended(self, store: Store, one: Running) -> None:
        from trunkline.store.jobs import Progress, end_job, keep_job

        self.running.remove(one)
        now, seconds, code = datetime.now(UTC), time.monotonic() - one.since, one.process.returncode
        good = code in (0, GATE_FAILED) and not one.fault
        state: Literal["done", "failed"] = "done" if good else "failed"
        keep_job(store, one.lease, Progress(0, 0, one.job.seconds + seconds, ()), now)
        kept = end_job(store, one.lease, state, now, _result(one, code, good))
        said = state if kept else "cancelled"
        self.tell(f"{one.job.id[:8]} {said} after {seconds:,.0f} s{f': {_reason(one, code)}' if kept and not good else ''}")

    def _stop(self, store: Store) -> None:
        """Jobs under way go back to the queue, each after it has let go of its folder."""
        from trunkline.store.jobs import return_job

        while self.running:
            for one in list(self.running):
                one.interrupt()
                if one.process.poll() is not None:
                    self.running.remove(one)
                    if return_job(store, one.lease, datetime.now(UTC)):
                        self.tell(f"{one.job.id[:8]} goes back to the queue")
            time.sleep(0.05)


def _environment(cores: tuple[int, ...], gpus: tuple[int, ...]) -> dict[str, str]:
    set_ = {THREADS_VARIABLE: str(len(cores)), "CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))}
    return {**os.environ, **set_, "PYTHONUNBUFFERED": "1"}


def _result(one: Running, code: int, good: bool) -> dict[str, Any]:
    if good:
        return {"code": code}
    return {"code": code, "what": _reason(one, code), "said": _said(one)[-_LINES:]}


def _said(one: Running) -> list[str]:
    return one.log.read_text(encoding="utf-8", errors="replace").splitlines()


def _reason(one: Running, code: int) -> str:
    if one.fault:
        return one.fault
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    errors = [line[2:] for line in _said(one) if line.startswith("× ")]  # as `terminal.error_lines` begins
    return errors[-1] if errors else f"exit code {code}"
