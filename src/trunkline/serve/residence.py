"""Which engines are in memory: loaded on first use, the least recently used evicted over a budget.

An engine's size is how far the process's resident memory (RSS) grew while it was loaded, loads taking turns,
and at least its files' size: memory that was freed before and is used again doesn't show as growth. What
other threads allocate meanwhile is counted with it, so a size errs upwards.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from trunkline.types import Engine

log = logging.getLogger("trunkline.serve")

_STATM = Path("/proc/self/statm")


@dataclass
class _Seat:
    engine: Engine
    bytes: int
    used: int  # a number that grows with every use


class Residence(Mapping[str, Engine]):
    """Engines by name under `budget_bytes`; `residence[name]` loads what isn't here, `in` and iteration tell
    what is. Thread-safe; constructing it loads nothing.

    load: makes an engine; what it raises is raised to who asks, and tried again by the next. file_bytes: what
    an engine takes at least. Over the budget stays what is pinned, held, or alone larger than it: rows that wait
    are always answered.
    """

    def __init__(
        self, load: Callable[[str], Engine], budget_bytes: int, file_bytes: Callable[[str], int] = lambda _: 0
    ) -> None:
        self.budget_bytes = budget_bytes
        self._load, self._file_bytes = load, file_bytes
        self._lock, self._loading = threading.Lock(), threading.Lock()
        self._seats: dict[str, _Seat] = {}
        self._coming: dict[str, Future[Engine]] = {}
        self._held: Counter[str] = Counter()
        self._pinned: set[str] = set()
        self._sizes: dict[str, int] = {}  # as measured once, so that room is made before the next load
        self._clock = count()
        self.loads = self.evictions = 0
        self.asked = 0  # rows that ever waited for an engine

    def __getitem__(self, name: str) -> Engine:
        """The engine, loaded if it isn't here: once, however many ask."""
        with self._lock:
            seat = self._seats.get(name)
            if seat is not None:
                seat.used = next(self._clock)
                return seat.engine
            coming = self._coming.get(name)
            mine = coming is None
            if coming is None:
                coming = self._coming[name] = Future()
        if mine:
            self._bring(name, coming)
        return coming.result()

    def __contains__(self, name: object) -> bool:
        return name in self._seats

    def __iter__(self) -> Iterator[str]:
        return iter(self.resident())

    def __len__(self) -> int:
        return len(self._seats)

    @contextmanager
    def use(self, name: str) -> Iterator[Engine]:
        """The engine, held for a block."""
        self.hold(name)
        try:
            yield self[name]
        finally:
            self.release(name)

    def hold(self, name: str) -> None:
        """Rows wait for this engine, or run in it: it stays, once it is here, until each `hold` has its
        `release`."""
        with self._lock:
            self._held[name] += 1
            self.asked += 1

    def release(self, name: str) -> None:
        with self._lock:
            self._held[name] -= 1
            gone = [] if self._held[name] else self._make_room(0, name)
        _dropped(gone)

    def pin(self, name: str) -> None:
        """Load it now, and never evict it."""
        with self._lock:
            self._pinned.add(name)
        self[name]

    def unpin(self, name: str) -> None:
        with self._lock:
            self._pinned.discard(name)
            gone = self._make_room(0, "")
        _dropped(gone)

    def idle(self) -> bool:
        """Does no row wait for an engine, or run in one?"""
        with self._lock:
            return not +self._held

    def peek(self) -> dict[str, Engine]:
        """The engines in memory, without using them."""
        with self._lock:
            return {name: seat.engine for name, seat in self._seats.items()}

    def resident(self) -> dict[str, int]:
        """Name -> bytes of every engine in memory, the least recently used first."""
        with self._lock:
            return {name: seat.bytes for name, seat in sorted(self._seats.items(), key=lambda pair: pair[1].used)}

    def _bring(self, name: str, coming: Future[Engine]) -> None:
        try:
            with self._loading:
                with self._lock:
                    gone = self._make_room(self._sizes.get(name) or self._file_bytes(name), name)
                _dropped(gone)
                before = resident_bytes()
                engine = self._load(name)
                size = max(resident_bytes() - before, self._file_bytes(name), self._sizes.get(name, 0))
        except BaseException as error:
            with self._lock:
                del self._coming[name]
            coming.set_exception(error)  # for those who wait for this load
            raise
        with self._lock:
            del self._coming[name]
            self._seats[name] = _Seat(engine, size, next(self._clock))
            self._sizes[name] = size
            self.loads += 1
            gone = self._make_room(0, name)
        _dropped(gone)
        coming.set_result(engine)

    def _make_room(self, more: int, spared: str) -> list[tuple[str, Engine]]:
        """What was evicted so that `more` bytes fit, as far as may be. Under the lock; the caller drops it."""
        gone: list[tuple[str, Engine]] = []
        total = more + sum(seat.bytes for seat in self._seats.values())
        for name, seat in sorted(self._seats.items(), key=lambda pair: pair[1].used):
            if total <= self.budget_bytes:
                break
            if name == spared or name in self._pinned or self._held[name]:
                continue
            del self._seats[name]
            total -= seat.bytes
            gone.append((name, seat.engine))
        self.evictions += len(gone)
        return gone


def resident_bytes() -> int:
    """Memory of this process that is in RAM; 0 where the system doesn't say (not Linux)."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _dropped(gone: list[tuple[str, Engine]]) -> None:
    """Engines end here, outside the lock: freeing one takes a while."""
    for name, _ in gone:
        log.info("engine evicted", extra={"fields": {"engine": name}})
    gone.clear()
