"""Rows of numbers under 16-byte keys (digests), in files that are written once: the store behind `features`.

A segment holds a head, its keys in ascending order and its rows; all little-endian. A checksum over
keys and rows is verified when the segment is opened; a broken segment counts as absent.
"""

from __future__ import annotations

import os
import secrets
import struct
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import TrunklineError
from trunkline.files import write_atomic

_HEAD = struct.Struct("<8sIIQ")  # magic, dim, checksum, rows; then keys and rows
_MAGIC = b"TLROWS01"
_KEY = 16
_MERGE_AT = 32  # segments of a folder before the small ones become one
_SMALL = 4_000_000  # bytes
_KEEP = 0.8  # of max_bytes is left after an eviction


class _Segment:
    """One file, mapped."""

    def __init__(self, path: Path, dim: int) -> None:
        data = np.memmap(path, np.uint8, "r")
        magic, width, checksum, count = _HEAD.unpack(data[: _HEAD.size].tobytes())
        start = _HEAD.size + count * _KEY
        if magic != _MAGIC or width != dim or len(data) != start + count * dim * 4:
            raise ValueError("not a segment of this kind")
        if zlib.crc32(data.data[_HEAD.size :]) != checksum:
            raise ValueError("checksum")
        self.path, self.bytes = path, len(data)
        self.keys = data[_HEAD.size : start].view("S16")
        self.head = np.ascontiguousarray(data[_HEAD.size : start].reshape(count, _KEY)[:, :8])
        self.head = self.head.view(">u8").ravel().astype(np.uint64)
        self.rows = data[start:].view("<f4").reshape(count, dim)

    def find(self, heads: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Position of the first key whose 8 leading bytes are the one asked for, else -1."""
        at = np.searchsorted(self.head, heads)
        at[at == len(self.head)] = 0
        return np.where(self.head[at] == heads, at, -1)


class Segments:
    """A folder of segments with rows of one width. Thread-safe, and safe between processes."""

    def __init__(self, folder: Path, dim: int, max_bytes: int) -> None:
        self.folder, self.dim, self.max_bytes = folder, dim, max_bytes
        self._open: dict[str, _Segment] = {}
        self._bad: set[str] = set()
        self._lock = threading.Lock()

    def get(self, keys: Sequence[bytes], out: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Fill out[i] for every key that is known; a mask of those. out: float32 (n, dim)."""
        known = np.zeros(len(keys), bool)
        if not keys:
            return known
        flat = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, _KEY)
        heads = np.ascontiguousarray(flat[:, :8]).view(">u8").ravel().astype(np.uint64)
        with self._lock:
            self._refresh()
            segments = list(self._open.values())
        for segment in segments:
            todo = np.flatnonzero(~known)
            if not len(todo):
                break
            at = segment.find(heads[todo])
            hit = at >= 0
            whole = segment.keys.view(np.uint8).reshape(-1, _KEY)[at[hit]]
            hit[hit] = (whole == flat[todo[hit]]).all(axis=1)
            out[todo[hit]] = segment.rows[at[hit]]
            known[todo[hit]] = True
            if hit.any():
                _touch(segment.path)
        return known

    def put(self, keys: Sequence[bytes], rows: NDArray[np.float32]) -> None:
        """Keep rows (n, dim) under `keys`; a full disk or a closed folder costs speed, not the run."""
        if not keys:
            return
        try:
            self._write(keys, rows)
            self._merge()
            self._evict()
        except (OSError, TrunklineError):  # a cache that can't be written is no cache; nothing is wrong
            return

    def _refresh(self) -> None:
        try:
            names = {entry.name for entry in os.scandir(self.folder) if entry.name.endswith(".rows")}
        except OSError:
            names = set()
        for name in self._open.keys() - names:
            del self._open[name]
        for name in sorted(names - self._open.keys() - self._bad):
            try:
                self._open[name] = _Segment(self.folder / name, self.dim)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, struct.error):
                self._bad.add(name)
                (self.folder / name).unlink(missing_ok=True)

    def _write(self, keys: Sequence[bytes], rows: NDArray[np.float32]) -> None:
        order = sorted(range(len(keys)), key=keys.__getitem__)
        ordered = np.ascontiguousarray(rows[order], "<f4").tobytes()
        body = b"".join([keys[i] for i in order]) + ordered
        head = _HEAD.pack(_MAGIC, self.dim, zlib.crc32(body), len(keys))
        name = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(4)}.rows"
        write_atomic(self.folder / name, head + body)

    def _merge(self) -> None:
        """Many small segments become one; another process may be at it, then it's left to that one."""
        with self._lock:
            self._refresh()
            small = [segment for segment in self._open.values() if segment.bytes < _SMALL]
        if len(small) < _MERGE_AT:
            return
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.folder / ".merge.lock", timeout=0):
                places = {
                    key: (segment, row)
                    for segment in small
                    for row, key in enumerate(_keys(segment))
                }
                rows = np.stack([segment.rows[row] for segment, row in places.values()])
                self._write(list(places), rows)
                for segment in small:
                    segment.path.unlink(missing_ok=True)
        except Timeout:
            return

    def _evict(self) -> None:
        """Whole segments go, the longest unused first, of all trunks, until 80 % of the bound is left."""
        found = []
        for path in self.folder.parent.glob("*/*.rows"):
            try:
                status = path.stat()
            except OSError:  # evicted by another process
                continue
            found.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in found)
        if total <= self.max_bytes:
            return
        for _, size, path in sorted(found, key=lambda item: item[0]):
            if total <= self.max_bytes * _KEEP:
                break
            path.unlink(missing_ok=True)
            total -= size


def _keys(segment: _Segment) -> list[bytes]:
    flat = segment.keys.view(np.uint8).tobytes()
    return [flat[i : i + _KEY] for i in range(0, len(flat), _KEY)]


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:  # read-only, or evicted just now
        return
