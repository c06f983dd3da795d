"""What several engines of one process hold together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")


class Shared(Generic[T]):
    """Things by name, made when first asked for and gone with the last engine that holds them. Thread-safe."""

    def __init__(self) -> None:
        self._kept: WeakValueDictionary[str, T] = WeakValueDictionary()
        self._lock = threading.Lock()

    def get(self, name: str, make: Callable[[], T]) -> T:
        """Raises what `make` raises, and the next one tries again."""
        with self._lock:
            found = self._kept.get(name)
            if found is None:
                found = self._kept[name] = make()
            return found
