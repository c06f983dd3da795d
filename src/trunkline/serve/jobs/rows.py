"""The rows of an uploaded file, a few at a time. Every step takes some milliseconds, so that a large file holds
neither the compute pool nor the interpreter for long."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

from trunkline.errors import DataError, MissingExtra, nearest
from trunkline.serve import ndjson, wire
from trunkline.types import Refused

CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
MEDIA = (CSV, wire.NDJSON, PARQUET)
ROWS = 64  # at a time
BYTES = 500_000  # of cells, about; longer rows are fewer
STEP_SECONDS = 0.003
_LINE = 10_000_000  # bytes
_CHARSETS = re.compile(
    r"ascii|utf-8(-sig)?|utf-16(-[lb]e)?|gb2312|gbk|gb18030|big5(hkscs)?|shift_jis|euc_(jp|kr)|iso8859-\d+|cp125\d|koi8-[ru]"
)


@dataclass(frozen=True)
class File:
    """An uploaded file. `encoding`: of a CSV; None until it was found out."""

    path: Path
    media: str
    encoding: str | None = None

    def found(self) -> File:
        """The same with its encoding known; reads all of it. Raises DataError."""
        if self.media != CSV:
            return self
        from trunkline.data.sources.text import open_text

        text, _ = open_text(self.path, self.encoding)
        with text:
            return File(self.path, self.media, text.encoding)

    def rows(self) -> Iterator[tuple[Any, int]]:
        """(row, about how many bytes it has); a line that holds no row is Refused in its place, as it is in a stream.

        Raises DataError where the file itself can't be read, naming the place.
        """
        if self.media == wire.NDJSON:
            yield from _lines(self.path)
            return
        from trunkline.data.sources.csv import CsvSource
        from trunkline.data.sources.parquet import ParquetSource

        source = CsvSource(self.path, self.encoding) if self.media == CSV else ParquetSource(self.path)
        for row in source.rows():
            yield row, sum(len(cell) for cell in row.values() if isinstance(cell, str | bytes))

    def batches(self, start: int = 0) -> Iterator[list[Any]]:
        """Rows from number `start` on, in lists; an empty one each few milliseconds while rows before it pass by."""
        batch: list[Any] = []
        size, until = 0, perf_counter() + STEP_SECONDS
        for at, (row, bytes_) in enumerate(self.rows()):
            if at < start:
                if perf_counter() > until:
                    yield []
                    until = perf_counter() + STEP_SECONDS
                continue
            batch.append(row)
            size += bytes_
            if len(batch) == ROWS or size >= BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def look(self, columns: Collection[str]) -> Iterator[int]:
        """How many rows were read by now, each few milliseconds; the last is their number.

        Raises DataError where the file can't be read, or no row can be answered: none has a wanted column, or
        every line is broken.
        """
        lacking, first, broken = set(columns), None, None
        count, until = 0, perf_counter() + STEP_SECONDS
        for row, _ in self.rows():
            count += 1
            if isinstance(row, dict):
                first = row if first is None else first
                lacking -= row.keys()
                if lacking and self.media != wire.NDJSON:  # all rows have the same columns
                    break
            elif broken is None:
                broken = row
            if perf_counter() > until:
                yield count
                until = perf_counter() + STEP_SECONDS
        _check(lacking, first, broken)
        yield count


def check_media(content_type: str, encoding: str) -> tuple[str, str | None]:
    """(media type, charset) of a body. Raises MediaTypeError for others, MissingExtra where Parquet can't be read."""
    media, _, parameters = content_type.partition(";")
    media = media.strip().lower()
    if media not in MEDIA or encoding not in ("", "identity"):
        raise wire.MediaTypeError(
            "a file of this kind can't be read",
            found=f"{media[:80] or 'no content-type'}{encoding and f', {encoding[:40]}'}",
            wanted=" | ".join(MEDIA),
            hint="curl -H 'content-type: text/csv' --data-binary @rows.csv",
        )
    if media == PARQUET:
        check_parquet()
    name, _, charset = parameters.strip().partition("=")
    if media != CSV or name.strip().lower() != "charset":
        return media, None
    return media, _charset(charset.strip('" '))


def _charset(name: str) -> str:
    """Python knows codecs that are no text, or take forever on the wrong one."""
    with suppress(LookupError):
        if _CHARSETS.fullmatch(found := codecs.lookup(name).name):
            return found
    raise wire.MediaTypeError(
        "this charset can't be read", found=repr(name[:40]), wanted="utf-8, gb18030, big5 ...", hint="leave it out"
    )


def check_parquet() -> None:
    """Raises MissingExtra."""
    if find_spec("pyarrow") is None:
        raise MissingExtra("pyarrow", "parquet")


def _lines(path: Path) -> Iterator[tuple[Any, int]]:
    lines = ndjson.Lines(_LINE)
    with path.open("rb") as file:
        while piece := file.read(ndjson.PIECE):
            yield from ((ndjson.row_of(line), len(line or b"")) for line in lines.feed(piece))
    yield from ((ndjson.row_of(line), len(line or b"")) for line in lines.end())


def _check(lacking: Collection[str], first: dict[str, Any] | None, broken: Any) -> None:
    if first is None and broken is not None:
        why = broken.message if isinstance(broken, Refused) else "a line holds no object"
        raise DataError("no line of the file is a row", found=f"{why:.200}", wanted='{"column": value} on each line')
    if first is not None and lacking:
        column, columns = min(lacking), [str(name) for name in first]
        raise DataError(
            f"no row has the column {column!r}",
            found=", ".join(repr(name[:80]) for name in columns[:20]),
            hint=nearest(column, columns),
        )
