"""What engines gave lately, by input; the oldest goes first. Bounded by bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

_ENTRY_BYTES = 300  # of a key and its place, beside the output itself


class Recent:
    """Keys carry the caller's organisation: a hit across organisations would tell one what another
    asked. Not thread-safe: its owner has the lock."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.bytes = max_bytes, 0
        self.hits = self.misses = 0
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> Any | None:
        found = self._kept.get(key)
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(key)
        return found

    def put(self, key: Hashable, value: Any) -> None:
        """`value` is an array; one that is larger than the whole isn't kept."""
        size = value.nbytes + _ENTRY_BYTES
        if size > self.max_bytes:
            return
        if (old := self._kept.pop(key, None)) is not None:
            self.bytes -= old.nbytes + _ENTRY_BYTES
        self._kept[key] = value
        self.bytes += size
        while self.bytes > self.max_bytes:
            _, gone = self._kept.popitem(last=False)
            self.bytes -= gone.nbytes + _ENTRY_BYTES
