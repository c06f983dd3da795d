"""Word embeddings outside the graph: mapped from a file, so they cost almost no private memory,
and processes on one machine share them. Only the rows of a batch's tokens are read."""

from __future__ import annotations

import os
import weakref
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trunkline.trunks.e5s1 import BLOCK_BYTES, decode_blocks

_KEPT = 8_192  # rows in memory, about 2 MB: nearly all that texts of one kind ask for


class Table(Protocol):
    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """(...,) token ids -> (..., hidden)."""
        ...


class DenseTable:
    """float32 or float16 (vocabulary, hidden), an .npy file."""

    def __init__(self, path: Path) -> None:
        self._table = np.load(path, mmap_mode="r", allow_pickle=False)

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.asarray(self._table[ids], np.float32)


class BlockTable:
    """4-bit blocks of 32 as they came, uint8 (vocabulary, blocks * 18), an .npy file: no loss.

    Rows are read one by one instead of mapped: a mapping brings in 64 kB around every row touched,
    which after a few hundred texts is most of the 54 MB.
    """

    def __init__(self, path: Path) -> None:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
        if hasattr(os, "pread"):
            handle = os.open(path, os.O_RDONLY)
            weakref.finalize(self, os.close, handle)
            width, offset = int(table.shape[1]), int(table.offset)

            def read(row: int) -> bytes:
                return os.pread(handle, width, offset + row * width)
        else:  # Windows

            def read(row: int) -> bytes:
                return bytes(table[row])

        # Each read lets go of the interpreter's lock, and a dozen of them a text wait for it as often
        self._row = lru_cache(_KEPT)(read)

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        distinct, where = np.unique(ids, return_inverse=True)
        raw = b"".join(map(self._row, distinct.tolist()))
        blocks = np.frombuffer(raw, np.uint8).reshape(len(distinct), -1, BLOCK_BYTES)
        decoded = decode_blocks(blocks).reshape(len(distinct), -1)
        return decoded[where.reshape(ids.shape)]
