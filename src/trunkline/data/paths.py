"""Cells that name files (pictures): read from below the folder of their table, never from outside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trunkline.errors import DataError
from trunkline.files import safe_below
from trunkline.inputs.blob import DataFile
from trunkline.inputs.file_kinds import SUFFIXES
from trunkline.types import Row, Source

_LONGEST = 1_000  # signs of a path; base64 of a picture is longer, and has no point


def rows_of(source: Source, kinds: Mapping[str, str]) -> Iterator[Row]:
    """The source's rows; in columns of a kind that files hold, paths as `DataFile`, and Hugging Face's
    {"bytes", "path"} as bytes. Base64 and `data:` stay as they are.

    kinds: column -> kind. Raises DataError for a path that leaves the folder of the source's file.
    """
    columns = [column for column, kind in kinds.items() if kind in SUFFIXES.values()]
    file = getattr(source, "path", None)
    if not columns or not isinstance(file, Path):
        yield from source.rows()
        return
    for number, row in enumerate(source.rows(), 1):
        yield {**row, **{name: _cell(row[name], file, f"row {number}") for name in columns if name in row}}


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
