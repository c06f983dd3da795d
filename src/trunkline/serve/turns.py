"""Who comes next: of all that wait, whoever was given least so far.

The virtual token counter of Sheng et al. (2024, "Fairness in Serving Large Language Models"), nested: first
among callers, then among one caller's products. A flood waits behind itself, nobody else does.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from itertools import count
from typing import Generic, Protocol, TypeVar

_IDLE_LANES = 10_000  # remembered, so that leaving for a moment doesn't clear a debt


class Waiting(Protocol):
    """`taken`: computed already, beside others; its lane is charged when its turn would have come."""

    cost: int
    taken: bool


T = TypeVar("T", bound=Waiting)


class _Lane(Generic[T]):
    def __init__(self, nested: bool) -> None:
        self.used = 0.0
        self.line: deque[T] = deque()
        self.inner: Turns[T] | None = Turns() if nested else None

    def __len__(self) -> int:
        return len(self.line) if self.inner is None else len(self.inner)


class Turns(Generic[T]):
    """A queue with lanes. Not thread-safe: its owner has the lock."""

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane[T]] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._order = count()
        self._now = 0.0  # what the lane served last had been given
        self._size = 0

    def __len__(self) -> int:
        """Items in the lanes, those taken included."""
        return self._size

    def push(self, path: tuple[str, ...], item: T) -> None:
        """Put an item behind its own lane: path = (caller, product), or fewer or more levels."""
        name, rest = path[0], path[1:]
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane(bool(rest))
        if not len(lane):
            lane.used = max(lane.used, self._now)  # idleness earns nothing
            heappush(self._heap, (lane.used, next(self._order), name))
        if lane.inner is None:
            lane.line.append(item)
        else:
            lane.inner.push(rest, item)
        self._size += 1

    def pop(self) -> T:
        """The next item that isn't taken. Raises IndexError if none waits."""
        while (item := self._pop()).taken:
            continue
        return item

    def _pop(self) -> T:
        self._now, _, name = heappop(self._heap)
        lane = self._lanes[name]
        item = lane.line.popleft() if lane.inner is None else lane.inner._pop()
        self._size -= 1
        lane.used += item.cost
        if len(lane):
            heappush(self._heap, (lane.used, next(self._order), name))
        elif len(self._lanes) > _IDLE_LANES:
            self._forget()
        return item

    def _forget(self) -> None:
        self._lanes = {name: lane for name, lane in self._lanes.items() if len(lane) or lane.used > self._now}
