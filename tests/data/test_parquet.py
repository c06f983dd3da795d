from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trunkline.data.sources.parquet import ParquetSource
from trunkline.errors import DataError


def test_cells_keep_their_types(tmp_path: Path) -> None:
    row = {"a": 1, "b": None, "c": date(2024, 1, 2), "d": Decimal("1.50"), "e": [1, 2]}
    pq.write_table(pa.Table.from_pylist([row] * 5_000), tmp_path / "a.parquet")
    read = list(ParquetSource(tmp_path / "a.parquet").rows())
    assert len(read) == 5_000
    assert read[-1] == row


@pytest.mark.parametrize("data", [b"", b"PAR1 junk", b"text,label\na,b\n"])
def test_damaged(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(DataError, match="can't be read"):
        list(ParquetSource(tmp_path / "a.parquet").rows())


def test_a_column_named_twice(tmp_path: Path) -> None:
    table = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="named twice"):
        list(ParquetSource(tmp_path / "a.parquet").rows())


def test_a_row_group_of_any_size_is_read_in_little_memory(tmp_path: Path) -> None:
    """All of 17 MB in one, as some writers make it."""
    count, note = 40_000, "退款 note " * 36
    table = pa.table({"note": [f"{n} {note}" for n in range(count)]})
    pq.write_table(table, tmp_path / "t.parquet", compression="none", row_group_size=count, use_dictionary=False)
    del table
    assert (tmp_path / "t.parquet").stat().st_size > 17_000_000
    before, most = pa.total_allocated_bytes(), 0
    for n, row in enumerate(ParquetSource(tmp_path / "t.parquet").rows()):
        assert row["note"].startswith(f"{n} ")
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 6_000_000
