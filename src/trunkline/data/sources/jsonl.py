"""JSON lines: one object a line. Cells keep their JSON types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from trunkline.data.note import Note
from trunkline.data.sources.text import not_text, open_text
from trunkline.errors import DataError


class JsonlSource:
    """Rows of a .jsonl file."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.path, self.encoding = path, encoding
        self.notes: list[Note] = []

    def describe(self) -> str:
        return self.path.name

    def rows(self) -> Iterator[dict[str, Any]]:
        """Streams rows; blank lines are skipped. Raises DataError with the line that is no object."""
        file, self.notes = open_text(self.path, self.encoding, newline="\n")
        with file:
            try:
                yield from rows_of_lines(file, str(self.path))
            except UnicodeError as error:
                raise not_text(self.path, error, file.encoding) from error


def rows_of_lines(lines: Iterable[str | bytes], where: str) -> Iterator[dict[str, Any]]:
    """One row a line (bytes are UTF-8); blank lines are skipped. Raises DataError naming the line that is no object."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = _parse(line)
        except (ValueError, RecursionError) as error:  # the latter: nested too deep for Python's reader
            raise _broken(where, number, str(error)) from error
        if not isinstance(row, dict):
            hint = "write an array as one object a line" if isinstance(row, list) else ""
            raise _broken(where, number, f"{row!r:.60}", hint)
        yield row


def _broken(where: str, number: int, found: str, hint: str = "") -> DataError:
    return DataError(
        "a line is not a JSON object",
        where=f"{where}, line {number}",
        found=found,
        wanted='one object a line: {"text": "...", "label": "..."}',
        hint=hint,
    )


def _parse(line: str | bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line)  # what Python's own writer may have written: NaN, lone surrogates
