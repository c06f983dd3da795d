"""Parquet, in batches. Cells keep their types (numbers, dates, text)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trunkline.data.note import Note
from trunkline.errors import DataError, MissingExtra

_BATCH = 2_000  # rows in memory at once
_BUFFER = 1 << 20  # bytes of each column


class ParquetSource:
    """Rows of a .parquet file. `encoding` has no meaning here: Parquet text is UTF-8."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.path = path
        self.notes: list[Note] = []

    def describe(self) -> str:
        return self.path.name

    def rows(self) -> Iterator[dict[str, Any]]:
        """Streams rows. Raises DataError for a missing or damaged file or a column named twice."""
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise MissingExtra("pyarrow", "parquet") from None
        try:
            # Without these a whole row group, which may be all of the file, is read before its first row.
            with pq.ParquetFile(self.path, pre_buffer=False, buffer_size=_BUFFER) as file:
                names = file.schema_arrow.names
                if len(set(names)) < len(names):
                    twice = sorted({name for name in names if names.count(name) > 1})
                    raise DataError("a column is named twice", where=str(self.path), found=", ".join(twice))
                for batch in file.iter_batches(_BATCH, use_threads=False):
                    yield from batch.to_pylist()
        except FileNotFoundError:
            raise DataError("this file does not exist", where=str(self.path)) from None
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                "this Parquet file can't be read", where=str(self.path), found=f"{error!s:.120}"
            ) from error
