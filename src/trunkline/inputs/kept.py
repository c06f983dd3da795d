"""What was decoded just now: a file that was read is about to be computed, and is decoded once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """The last things by their digests, as many as weigh at most `limit` together. Safe between threads."""

    def __init__(self, limit: int) -> None:
        self.limit, self.weight = limit, 0
        self._held: OrderedDict[bytes, tuple[T, int]] = OrderedDict()
        self._lock = threading.Lock()

    def recall(self, digest: bytes) -> T | None:
        with self._lock:
            found = self._held.get(digest)
        return None if found is None else found[0]

    def remember(self, digest: bytes, thing: T, weight: int = 1) -> None:
        with self._lock:
            _, before = self._held.pop(digest, (None, 0))
            self._held[digest] = (thing, weight)
            self.weight += weight - before
            while self.weight > self.limit:
                _, (_, gone) = self._held.popitem(last=False)
                self.weight -= gone
