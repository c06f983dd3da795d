"""More than one core: worker processes that listen on one port, and the parent that keeps them alive.

Every worker has a socket of its own on the port (SO_REUSEPORT), so the kernel deals connections out evenly; with
one shared socket a single worker took up to all of 32 (measured with uvloop). The parent holds the sockets too:
what waits in a worker's when it dies waits for its successor. The parent imports nothing heavy.

Parent and worker talk in JSON lines over a socket pair; its end tells either that the other is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any

from trunkline.engines.threads import THREADS_VARIABLE
from trunkline.engines.threads import workers as cores
from trunkline.errors import TrunklineError
from trunkline.serve import meters
from trunkline.serve.counters import counters_folder

BACKLOG = 1024  # connections that may wait in a socket
GRACE_SECONDS = 10  # for the calls under way
_OVER_GRACE = 2.0  # then a worker is killed
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 30.0  # seconds before a dead worker is started again
_STEADY = 30.0  # a worker that was ready for so long clears its debt


_AT_TERMINAL = os.isatty(0)


def terminal_closed() -> bool:
    """Does a SIGHUP mean that the window was closed in which this process was started?"""
    return _AT_TERMINAL and not os.isatty(0)


def supervise(command: Sequence[str], host: str, port: int, count: int) -> None:
    """Run `command` + [listening fd, control fd, "first" | "further"] `count` times, until SIGTERM or SIGINT.

    The first starts alone, so that what is wrong is said once, and what it prepares is there for the others.
    SIGHUP has them reload one after another. Raises TrunklineError with the first one's own if it can't start.
    """
    sockets = [bind(host, port)]
    sockets += [bind(host, sockets[0].getsockname()[1]) for _ in range(count - 1)]
    sockets[0].listen(BACKLOG)  # calls that come before the products are loaded wait in it
    with counters_folder() as counts:
        meters.share(counts)
        Supervisor(command, sockets).run()


def bind(host: str, port: int) -> socket.socket:
    """A socket on a port that others of this user may share; it gets connections once it listens."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((host, port))
    return sock


@dataclass
class Slot:
    """A place for one worker. `deaths` counts those in a row, without a steady time between them."""

    listening: socket.socket
    first: bool
    process: subprocess.Popen[bytes] | None = None
    control: socket.socket | None = None
    heard: bytes = b""  # an unfinished line
    ready_since: float | None = None
    deaths: int = 0
    start_at: float | None = None  # None: not before the first is ready, or running


class Supervisor:
    def __init__(self, command: Sequence[str], sockets: Sequence[socket.socket]) -> None:
        self._command = command
        self._slots = [Slot(sock, first=not at) for at, sock in enumerate(sockets)]
        self._selector = selectors.DefaultSelector()
        self._signals: deque[int] = deque()
        self._reload: deque[Slot] = deque()
        self._reloading: Slot | None = None
        self._started = False  # was the first ever ready?
        self._env = {THREADS_VARIABLE: str(max(1, cores() // len(sockets))), **os.environ}

    def run(self) -> None:
        with self._catching():
            try:
                self._slots[0].start_at = 0.0
                while not self._told_to_stop():
                    self._start_due()
                    self._reload_next()
                    for key, _ in self._selector.select(self._idle_seconds()):
                        key.data()
            finally:
                self._stop()

    @contextlib.contextmanager
    def _catching(self) -> Iterator[None]:
        """Signals are noted, and wake the loop."""
        wakes, waker = socket.socketpair()
        wakes.setblocking(False)
        waker.setblocking(False)
        self._selector.register(wakes, selectors.EVENT_READ, lambda: wakes.recv(4096))
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        before = {number: signal.signal(number, lambda n, _: self._signals.append(n)) for number in numbers}
        woken = signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            wakes.close()
            waker.close()

    def _told_to_stop(self) -> bool:
        while self._signals:
            if self._signals.popleft() != signal.SIGHUP or terminal_closed():
                return True
            self._reload = deque(self._slots)
        return False

    def _idle_seconds(self) -> float | None:
        due = [slot.start_at for slot in self._slots if slot.start_at is not None]
        return max(0.0, min(due) - monotonic()) if due else None

    # ---- starting, and starting again ----

    def _start_due(self) -> None:
        for slot in self._slots:
            if slot.start_at is not None and slot.start_at <= monotonic():
                self._start(slot)

    def _start(self, slot: Slot) -> None:
        ours, theirs = socket.socketpair()
        fds = (slot.listening.fileno(), theirs.fileno())
        role = "first" if slot.first and not self._started else "further"
        with theirs:
            slot.process = subprocess.Popen(
                [*self._command, *map(str, fds), role],
                pass_fds=fds,
                env=self._env,
                process_group=0,  # Ctrl-C reaches the parent alone, which then ends them in order
            )
        slot.control, slot.heard, slot.start_at, slot.ready_since = ours, b"", None, None
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._hear(slot))

    def _hear(self, slot: Slot) -> None:
        assert slot.control is not None
        try:
            said = slot.control.recv(65_536)
        except ConnectionError:  # it died with something of ours unread
            said = b""
        if not said:
            self._died(slot)
            return
        *lines, slot.heard = (slot.heard + said).split(b"\n")
        for line in lines:
            self._note(slot, json.loads(line))

    def _note(self, slot: Slot, message: dict[str, Any]) -> None:
        if "failed" in message:
            error = TrunklineError(**message["failed"])
            if not self._started:
                raise error
            _log("a worker can't start", **error.as_dict())
        if "ready" in message:
            slot.ready_since = monotonic()
            assert slot.process is not None
            _log("a worker is ready", "info", pid=slot.process.pid)
            if not self._started:
                self._started = True
                for other in self._slots[1:]:
                    other.start_at = 0.0
        if "reloaded" in message:
            self._reloading = None
            if not message["reloaded"]:
                self._reload.clear()  # the others keep what they have, like this one

    def _died(self, slot: Slot) -> None:
        assert slot.process is not None
        code = self._bury(slot)
        if not self._started:
            raise TrunklineError(
                "the first worker ended before it was ready",
                found=f"exit status {code}",
                hint="its own message stands above",
            )
        steady = slot.ready_since is not None and monotonic() - slot.ready_since >= _STEADY
        slot.deaths = 1 if steady else slot.deaths + 1
        if slot.deaths > 1:  # it won't be back soon: let the kernel deal to the others
            host, port = slot.listening.getsockname()[:2]
            slot.listening.close()
            slot.listening = bind(host, port)
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (slot.deaths - 1))
        slot.start_at = monotonic() + wait
        meters.gone(slot.process.pid)
        _log("a worker died and is started again", pid=slot.process.pid, status=code, wait_seconds=wait)

    def _bury(self, slot: Slot) -> int:
        assert slot.process is not None
        assert slot.control is not None
        self._selector.unregister(slot.control)
        slot.control.close()
        slot.control = None
        if self._reloading is slot:
            self._reloading = None
        try:
            return slot.process.wait(_OVER_GRACE)
        except subprocess.TimeoutExpired:  # it closed its end and lives: of no use to anybody
            slot.process.kill()
            return slot.process.wait()

    # ---- reload, stop ----

    def _reload_next(self) -> None:
        """One at a time; one that isn't running reads what is there when it starts."""
        while self._reloading is None and self._reload:
            slot = self._reload.popleft()
            if slot.control is None:
                continue
            with contextlib.suppress(BrokenPipeError):  # it died: `_hear` is about to learn it
                slot.control.sendall(b'{"reload": true}\n')
                self._reloading = slot

    def _stop(self) -> None:
        """Ask all to end their calls and go; kill those that outlive the grace. A second signal kills at once."""
        for slot in self._slots:
            slot.listening.close()
        alive = [slot.process for slot in self._slots if slot.process and slot.process.poll() is None]
        for process in alive:
            process.terminate()
        until = monotonic() + GRACE_SECONDS + _OVER_GRACE
        while any(process.poll() is None for process in alive):
            if monotonic() > until or any(number != signal.SIGHUP for number in self._signals):
                for process in alive:
                    process.kill()
            sleep(0.02)
        for slot in self._slots:
            if slot.control is not None:
                slot.control.close()


class Parent:
    """A worker's view of its parent. When that goes, however it went, the worker ends its calls and leaves."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._ready = Event()
        self._reload: Callable[[], bool] = lambda: False
        Thread(target=self._listen, name="parent", daemon=True).start()

    def ready(self, reload: Callable[[], bool]) -> None:
        self._reload = reload
        self._ready.set()
        self._say({"ready": True})

    def failed(self, error: TrunklineError) -> None:
        parts = ("what", "where", "found", "wanted", "hint")
        self._say({"failed": {part: getattr(error, part) for part in parts}})

    def _say(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):  # `_listen` learns of it too, and acts
            self._control.sendall(json.dumps(message).encode() + b"\n")

    def _listen(self) -> None:
        while _received(self._control):
            self._ready.wait()
            self._say({"reloaded": self._reload()})
        os.kill(os.getpid(), signal.SIGTERM)
        sleep(GRACE_SECONDS + _OVER_GRACE)
        os._exit(1)


def _received(control: socket.socket) -> bytes:
    """Empty once the other end is gone. The parent sends one line and waits for its answer."""
    try:
        return control.recv(4096)
    except ConnectionError:
        return b""


def _log(message: str, level: str = "warning", **fields: Any) -> None:
    """A line as `log.JsonLines` writes it, whose imports the parent does without."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"time": time, "level": level, "message": message, **fields}
    print(json.dumps(line), file=sys.stderr, flush=True)
