"""Memory in large pages for what heads keep.

A row put to a hundred products touches a hundred heads, and of each a few kilobytes here and there: with pages of
4 kB more time goes into finding pages than into arithmetic. Together in pages of 2 MB, where the system has them, the
same heads answered in half the time.
"""

from __future__ import annotations

import mmap
import sys
import threading
from bisect import insort
from collections import deque
from contextlib import suppress
from typing import Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

CHUNK = 32_000_000  # bytes asked of the system at a time; what isn't written takes no memory
_ALIGN = 64


class _Chunk:
    """free: (start, bytes) of what no array holds, ascending."""

    def __init__(self, size: int) -> None:
        self.size = size
        if sys.platform == "win32":
            self.memory = mmap.mmap(-1, size)
        else:
            self.memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if sys.platform == "linux":
            with suppress(OSError):  # a system without large pages
                self.memory.madvise(mmap.MADV_HUGEPAGE)
        self.free = [(0, size)]

    def take(self, size: int) -> int | None:
        """The start of `size` bytes, None where there is no room."""
        for i, (start, room) in enumerate(self.free):
            if room >= size:
                self.free[i : i + 1] = [(start + size, room - size)] if room > size else []
                return start
        return None

    def give_back(self, start: int, size: int) -> None:
        insort(self.free, (start, size))
        merged: list[tuple[int, int]] = []
        for at, room in self.free:
            if merged and sum(merged[-1]) == at:
                at, room = merged[-1][0], merged.pop()[1] + room
            merged.append((at, room))
        self.free = merged


_chunks: list[_Chunk] = []
_returned: deque[tuple[_Chunk, int, int]] = deque()  # by arrays that are gone; their end may come at any time
_lock = threading.Lock()


def kept(array: NDArray[Any]) -> NDArray[Any]:
    """A copy, row after row, in large pages; its memory is used again once neither it nor a view of it is left."""
    size = -(-array.nbytes // _ALIGN) * _ALIGN
    if not size:
        return array
    with _lock:
        chunk, start = _room(size)
    whole = np.frombuffer(chunk.memory, array.dtype, array.size, start)
    finalize(whole, _returned.append, (chunk, start, size)).atexit = False
    copy = whole.reshape(array.shape)
    copy[...] = array
    return copy


def _room(size: int) -> tuple[_Chunk, int]:
    while _returned:
        chunk, *place = _returned.popleft()
        chunk.give_back(*place)
        if chunk.free == [(0, chunk.size)]:
            _chunks.remove(chunk)
    for chunk in _chunks:
        if (start := chunk.take(size)) is not None:
            return chunk, start
    chunk = _Chunk(max(CHUNK, size))
    _chunks.append(chunk)
    return chunk, chunk.take(size) or 0
