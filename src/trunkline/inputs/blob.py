"""Cells that hold a file's bytes (pictures, sound): base64 in a request, a path only where a source says so."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trunkline.errors import DataError
from trunkline.inputs.cell import digest, unreadable
from trunkline.types import Refused

_DATA_URL = re.compile(r"data:[\w.+/-]*(?:;[\w.+=-]+)*;base64,", re.ASCII)


@dataclass(frozen=True)
class DataFile:
    """A cell that names a file. Only a source makes one, of a path below its own folder: no request can.

    why: what the source found where the file isn't of the kind that is wanted."""

    path: Path
    why: str = ""


@dataclass(frozen=True)
class Blob:
    """Bytes by their digest (16 bytes), which is all that equality sees.

    Of a file only the path is kept, so that 20,000 rows of training data don't lie in memory.
    """

    digest: bytes
    held: bytes | None = field(default=None, compare=False, repr=False)
    path: Path | None = field(default=None, compare=False, repr=False)

    def data(self, kind: str) -> bytes:
        """Raises DataError where the file was changed or removed since it was read first."""
        if self.held is not None:
            return self.held
        assert self.path is not None
        try:
            found = self.path.read_bytes()
        except OSError as error:
            raise DataError("this file can't be read any more", where=str(self.path), found=str(error.strerror)) from error
        if digest(kind, found) != self.digest:
            raise DataError("this file was changed while it was in use", where=str(self.path), hint="train again")
        return found


def read_blob(raw: Any, kind: str, limit: int, wanted: str) -> Blob | Refused:
    """A cell's bytes: bytes as they are, text as base64 or a data URL, a DataFile by its path.

    limit: bytes. Refused: "missing", "too_long", "unreadable".
    """
    if raw is None or raw == "" or raw == b"":
        return Refused("missing", f"{wanted} is missing")
    if isinstance(raw, DataFile) and raw.why:
        return Refused("unreadable", f"{raw.path.name} is no file of kind {kind}: {raw.why}")
    if isinstance(raw, DataFile):
        return _of_file(raw.path, kind, limit, wanted)
    if isinstance(raw, str):
        decoded = _decoded(raw, limit, wanted)
        if isinstance(decoded, Refused):
            return decoded
        raw = decoded
    if not isinstance(raw, bytes):
        return unreadable(raw, f"{wanted} (bytes, or text in base64)")
    if not raw:
        return Refused("missing", f"{wanted} is missing")
    return _too_long(len(raw), limit, wanted) if len(raw) > limit else Blob(digest(kind, raw), held=raw)


def share_of_files(
    cells: Sequence[Any], kind: str, suffixes: Container[str], begins: Callable[[bytes], bool]
) -> float:
    """How well cells fit a kind that files hold, 0..0.99: by the ends of their names, a data URL, or first bytes."""

    def fits(cell: Any) -> bool:
        if isinstance(cell, DataFile):
            return cell.path.suffix.lower() in suffixes
        if isinstance(cell, str):
            end = cell.rpartition(".")[2].lower() if len(cell) < 1_000 else ""
            return f".{end}" in suffixes or cell.startswith(f"data:{kind}/")
        return isinstance(cell, bytes) and begins(cell)

    seen = [cell for cell in cells if cell is not None and cell != ""]
    return 0.99 * sum(map(fits, seen)) / len(seen) if seen else 0.0


def _of_file(path: Path, kind: str, limit: int, wanted: str) -> Blob | Refused:
    try:
        size = path.stat().st_size
        if size > limit:
            return _too_long(size, limit, wanted)
        found = path.read_bytes()
    except OSError as error:
        return Refused("unreadable", f"{path.name} can't be read: {error.strerror}")
    return Blob(digest(kind, found), path=path) if found else Refused("unreadable", f"{path.name} is empty")


def _decoded(text: str, limit: int, wanted: str) -> bytes | Refused:
    if len(text) > limit * 4 // 3 + 1_000:
        return _too_long(len(text) * 3 // 4, limit, wanted)
    found = _DATA_URL.match(text)
    try:
        return base64.b64decode(text[found.end() :] if found else text, validate=True)
    except (binascii.Error, ValueError):
        return unreadable(text, f"{wanted} in base64")


def _too_long(size: int, limit: int, wanted: str) -> Refused:
    return Refused("too_long", f"{wanted} has {size / 1e6:.1f} MB; at most {limit / 1e6:.0f} MB are read")
