"""Processes that run trials side by side. Each reads the product for itself; it and its parent talk in JSON lines over
a socket pair, whose end tells either that the other is gone."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from trunkline.engines.threads import THREADS_VARIABLE
from trunkline.errors import TrainError, TrunklineError

Message: TypeAlias = dict[str, Any]
GRACE = 5.0  # seconds until a process that was told to end is killed
LOG = "worker-{}.log"


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    control: socket.socket
    log: Path
    ready: bool = False
    number: int | None = None  # of the trial it is at
    heard: bytes = b""


@dataclass(frozen=True)
class Reply:
    """What became of a trial: the worker's answer, or why there is none."""

    number: int
    outcome: Message | None
    why: str = ""


@dataclass
class Workers:
    """As many processes as `count`, started as they are needed. `start`: the first line each is told."""

    count: int
    start: Message
    logs: Path
    _all: list[_Worker] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _started: int = 0

    @property
    def busy(self) -> int:
        return sum(worker.number is not None for worker in self._all)

    def free(self) -> bool:
        return self.busy < self.count

    def give(self, number: int, message: Message) -> None:
        """Have a free worker, or a new one, run a trial."""
        worker = next((worker for worker in self._all if worker.number is None), None) or self._begin()
        worker.number = number
        with contextlib.suppress(ConnectionError):  # it died just now: `replies` learns of it
            worker.control.sendall(_line(message))

    def replies(self, timeout: float | None = None) -> Iterator[Reply]:
        """Those that came by now; waits for the first. Raises TrunklineError with a worker's own where it can't start."""
        for key, _ in self._selector.select(timeout):
            worker: _Worker = key.data
            try:
                said = worker.control.recv(1 << 20)
            except ConnectionError:
                said = b""
            if not said:
                yield from self._died(worker)
                continue
            *lines, worker.heard = (worker.heard + said).split(b"\n")
            for line in lines:
                yield from self._said(worker, json.loads(line))

    def close(self) -> None:
        """End all of them, whatever they are at."""
        for worker in self._all:
            worker.control.close()  # it leaves at once when this end is gone
        for worker in self._all:
            try:
                worker.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        self._all.clear()
        self._selector.close()

    def _begin(self) -> _Worker:
        ours, theirs = socket.socketpair()
        self._started += 1
        log = self.logs / LOG.format(self._started % (self.count + 1))
        # One thread each: the trials keep the cores busy, and figures don't depend on how many run.
        environment = {**os.environ, THREADS_VARIABLE: "1"}
        with theirs, log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "trunkline.tuning.worker", str(theirs.fileno())], pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, process_group=0,  # Ctrl-C is the parent's
            )  # fmt: skip
        worker = _Worker(process, ours, log)
        self._all.append(worker)
        self._selector.register(ours, selectors.EVENT_READ, worker)
        with contextlib.suppress(ConnectionError):
            ours.sendall(_line(self.start))
        return worker

    def _said(self, worker: _Worker, message: Message) -> Iterator[Reply]:
        if "error" in message:
            raise TrunklineError(**message["error"])
        if "ready" in message:
            worker.ready = True
            return
        number, worker.number = worker.number, None
        assert number is not None
        yield Reply(number, message)

    def _died(self, worker: _Worker) -> Iterator[Reply]:
        self._selector.unregister(worker.control)
        worker.control.close()
        self._all.remove(worker)
        try:
            code = worker.process.wait(GRACE)
        except subprocess.TimeoutExpired:  # it closed its end and lives: of no use to anybody
            worker.process.kill()
            code = worker.process.wait()
        why = _ended(code, worker.log)
        if not worker.ready:
            raise TrainError("a process that tries settings can't start", where=str(worker.log), found=why)
        if worker.number is not None:
            yield Reply(worker.number, None, why)


class Parent:
    """A worker's view of its parent. When that goes, however it went, the worker leaves in the middle of its trial."""

    def __init__(self, descriptor: int) -> None:
        self._control = socket.socket(fileno=descriptor)
        self._file = self._control.makefile("rb")

    def next(self) -> Message:
        line = self._file.readline()
        if not line:
            os._exit(0)
        return dict(json.loads(line))

    def say(self, message: Mapping[str, Any]) -> None:
        try:
            self._control.sendall(_line(message))
        except ConnectionError:
            os._exit(0)

    def during(self, work: Callable[[], Message]) -> Message:
        """What `work` gives, unless the parent goes meanwhile."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            watch = threading.Thread(target=self._leave_with_it, args=(theirs,), daemon=True)
            watch.start()
            found = work()
            ours.sendall(b".")
            watch.join()
        return found

    def _leave_with_it(self, done: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(done, selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in selector.select()]
            if done not in ready:  # the parent says nothing during a trial: this is its end
                os._exit(0)


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _ended(code: int, log: Path) -> str:
    """How a process ended, with its last words."""
    words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    named = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    hint = ", as when memory runs out" if code == -signal.SIGKILL else ""
    return f"its process ended: {named}{hint}{f'; {words[-1][:200]}' if words else ''}"
