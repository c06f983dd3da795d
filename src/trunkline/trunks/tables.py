"""Word embeddings outside the graph: only the rows of a batch's tokens are read from their file."""

from __future__ import annotations

import os
import weakref
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trunkline.trunks.e5s1 import BLOCK_BYTES, decode_blocks

_KEPT = 8_192  # rows in memory, 2 MB of e5's, 12 MB at most of MiniLM's: nearly all that texts of one kind ask for


class Table(Protocol):
    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """(...,) token ids -> (..., hidden)."""
        ...

    def stored(self) -> NDArray[Any]:
        """The whole file, mapped."""
        ...


class DenseTable:
    """float32 or float16 (vocabulary, hidden), an .npy file."""

    def __init__(self, path: Path) -> None:
        self._table = _Rows(path)

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        found, where = self._table.distinct(ids)
        return np.asarray(found, np.float32)[where]

    def stored(self) -> NDArray[Any]:
        return self._table.whole()


class BlockTable:
    """4-bit blocks of 32 as they came, uint8 (vocabulary, blocks * 18), an .npy file: no loss."""

    def __init__(self, path: Path) -> None:
        self._table = _Rows(path)

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        found, where = self._table.distinct(ids)
        blocks = found.reshape(len(found), -1, BLOCK_BYTES)
        return decode_blocks(blocks).reshape(len(found), -1)[where]

    def stored(self) -> NDArray[Any]:
        return self._table.whole()


class _Rows:
    """The rows of a matrix in an .npy file, read one by one instead of mapped: a mapping brings in 64 kB around
    every row touched, which after a few hundred texts is most of the file."""

    def __init__(self, path: Path) -> None:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
        self._path, self._type = path, table.dtype
        if hasattr(os, "pread"):
            handle = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, handle)
            width, offset = int(table.shape[1]) * table.dtype.itemsize, int(table.offset)

            def read(row: int) -> bytes:
                return os.pread(handle, width, offset + row * width)
        else:  # Windows

            def read(row: int) -> bytes:
                return bytes(table[row].tobytes())

        # Each read lets go of the interpreter's lock, and a dozen of them a text wait for it as often
        self._row = lru_cache(_KEPT)(read)

    def distinct(self, ids: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """((rows, columns) of the ids without repeats, where each id's row stands in it)."""
        distinct, where = np.unique(ids, return_inverse=True)
        raw = b"".join(map(self._row, distinct.tolist()))
        return np.frombuffer(raw, self._type).reshape(len(distinct), -1), where.reshape(ids.shape)

    def whole(self) -> NDArray[Any]:
        return np.asarray(np.load(self._path, mmap_mode="r", allow_pickle=False))
