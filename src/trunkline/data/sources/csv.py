"""CSV: strict and streaming; delimiter and encoding found, never guessed past an error."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trunkline.data.note import Note
from trunkline.data.sources.text import not_text, open_text
from trunkline.errors import DataError

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_ZH = {",": "逗号", ";": "分号", "\t": "制表符", "|": "竖线"}
_LONGEST_CELL = 64_000_000  # signs; an unclosed quote must not swallow a whole disk


class CsvSource:
    """Rows of a .csv (or .tsv) file with a header. Cells are str, as written."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.path, self.encoding = path, encoding
        self.notes: list[Note] = []

    def describe(self) -> str:
        return self.path.name

    def rows(self) -> Iterator[dict[str, Any]]:
        """Streams rows; blank lines are skipped.

        Raises DataError with the line: another number of cells than the header has, broken quotes,
        a header with a name twice, no text at all.
        """
        file, self.notes = open_text(self.path, self.encoding)
        with file:
            try:
                yield from self._rows(file)
            except UnicodeError as error:
                raise not_text(self.path, error, file.encoding) from error

    def _rows(self, file: io.TextIOWrapper) -> Iterator[dict[str, Any]]:
        delimiter = _sniff(file.read(65536))
        file.seek(0)
        if delimiter != ",":
            self.notes.append(
                Note(
                    "delimiter",
                    f"cells are separated by a {_DELIMITERS[delimiter]}",
                    f"单元格以{_ZH[delimiter]}分隔",
                )
            )
        csv.field_size_limit(_LONGEST_CELL)  # the module's only way; its default is 131,072
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        start = 1
        header: list[str] | None = None
        try:
            for cells in reader:
                if header is None:
                    header = self._header(cells, start) if cells else None
                elif cells:
                    if len(cells) != len(header):
                        raise self._ragged(cells, header, start)
                    yield dict(zip(header, cells, strict=True))
                start = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                "this CSV is broken",
                where=f"{self.path}, line {start}",
                found=str(error),
                hint='a cell with quotes is written "like ""this"" one"; look for a quote that is never closed',
            ) from error

    def _header(self, cells: list[str], line: int) -> list[str]:
        names = [cell.strip() or f"column_{i + 1}" for i, cell in enumerate(cells)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(
                "the header names a column twice",
                where=f"{self.path}, line {line}",
                found=", ".join(map(repr, twice)),
                hint="rename one of them",
            )
        return names

    def _ragged(self, cells: list[str], header: list[str], line: int) -> DataError:
        return DataError(
            "a row has another number of cells than the header",
            where=f"{self.path}, line {line}",
            found=f"{len(cells)} cells, the first {cells[0]!r:.60}",
            wanted=f"{len(header)} cells",
            hint="put cells that hold the separator in double quotes",
        )


def _sniff(sample: str) -> str:
    """The delimiter that cuts the header into several cells and most rows into as many."""

    def score(delimiter: str) -> tuple[float, int]:
        widths = _widths(sample, delimiter)
        if not widths or widths[0] < 2:
            return (0.0, 0)
        return (sum(width == widths[0] for width in widths) / len(widths), widths[0])

    return max(_DELIMITERS, key=score)


def _widths(sample: str, delimiter: str) -> list[int]:
    """Cells per row of the sample, without its last row, which may be cut."""
    csv.field_size_limit(_LONGEST_CELL)
    widths = [len(row) for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if row]
    return widths[:-1] if len(widths) > 1 and len(sample) == 65536 else widths
