"""Cells that name files (pictures): read from below the folder of their table, never from outside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trunkline.data.sources.folder import FolderSource
from trunkline.errors import DataError
from trunkline.files import safe_below
from trunkline.inputs.blob import DataFile
from trunkline.inputs.file_kinds import SUFFIXES
from trunkline.inputs.magic import looks
from trunkline.inputs.text import Text
from trunkline.types import Row, Source

_LONGEST = 1_000  # signs of a path; base64 of a picture is longer, and has no point


def rows_of(source: Source, kinds: Mapping[str, str]) -> Iterator[Row]:
    """The source's rows; in columns of a kind that files hold, paths as `DataFile`, and Hugging Face's
    {"bytes", "path"} as bytes. Base64 and `data:` stay as they are.

    Of a folder of class folders, a file that isn't of the column's kind by its name stands there with what it holds instead.

    kinds: column -> kind. Raises DataError for a path that leaves the folder of the source's file.
    """
    if isinstance(source, FolderSource):
        wanted = [column for column, kind in kinds.items() if column == kind and kind in (*SUFFIXES.values(), Text.name)]
        for found in source.rows():
            lacking = [name for name in wanted if name not in found]
            yield {**found, **{name: _other(source.path / found["file"], name) for name in lacking}}
        return
    columns = [column for column, kind in kinds.items() if kind in SUFFIXES.values()]
    file = getattr(source, "path", None)
    if not columns or not isinstance(file, Path):
        yield from source.rows()
        return
    for number, row in enumerate(source.rows(), 1):
        yield {**row, **{name: _cell(row[name], file, f"row {number}") for name in columns if name in row}}


def _other(file: Path, kind: str) -> DataFile:
    """A file whose name is of no such kind: what it holds, and what to do with it."""
    try:
        with file.open("rb") as opened:
            head = opened.read(512)
    except OSError as error:
        return DataFile(file, str(error.strerror))
    found = looks(head)
    ends = " | ".join(sorted(suffix for suffix, named in SUFFIXES.items() if named == kind)) or ".txt"
    if found and found.kind == kind:
        return DataFile(file, f"it holds {found.name}, which its name doesn't say; name it {file.stem}{found.suffix}")
    holds = found.name if found else "text" if head.isascii() or _is_text(head) else "bytes of no known kind"
    return DataFile(file, f"it holds {holds}; wanted {ends}, so move it out of the class folders")


def _is_text(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4  # a sign that was cut
    return True


def _cell(raw: Any, table: Path, where: str) -> Any:
    if isinstance(raw, Mapping) and isinstance(raw.get("bytes"), bytes):
        return raw["bytes"]
    if not isinstance(raw, str) or not raw.strip() or raw.startswith("data:") or len(raw) > _LONGEST:
        return raw
    if "." not in raw and not _is_file(table.parent / raw):
        return raw
    try:
        return DataFile(safe_below(table.parent, raw.strip()))
    except DataError as error:
        raise DataError(
            error.what, where=f"{table}, {where}", found=error.found, wanted=f"a path below {table.parent.name}/", hint=error.hint
        ) from None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # base64 makes odd names
        return False
