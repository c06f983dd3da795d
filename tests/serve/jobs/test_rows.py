from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import DataError
from trunkline.serve import wire
from trunkline.serve.jobs import rows
from trunkline.serve.jobs.rows import File, check_media

CSV, NDJSON, PARQUET = rows.MEDIA
SIGNS = st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.sampled_from('\n\r\t",;')
CELLS = st.text(SIGNS, max_size=20)


def file(folder: Path, table: list[dict[str, Any]], media: str) -> File:
    path = folder / "rows"
    if media == CSV:
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, ["text", "nr"])
        writer.writeheader()
        writer.writerows(table)
        path.write_text(out.getvalue(), encoding="utf-8", newline="")
    elif media == NDJSON:
        path.write_text("".join(json.dumps(row) + "\n" for row in table), encoding="utf-8")
    else:
        pq.write_table(pa.table({"text": [row["text"] for row in table], "nr": [row["nr"] for row in table]}), path)
    return File(path, media, "utf-8")


@pytest.mark.parametrize("media", rows.MEDIA)
@given(cells=st.lists(CELLS, min_size=1, max_size=200), start=st.integers(0, 210))
def test_batches_are_all_rows_in_order_from_anywhere(
    tmp_path_factory: pytest.TempPathFactory, media: str, cells: list[str], start: int
) -> None:
    table = [{"text": f"x{cell}", "nr": str(n)} for n, cell in enumerate(cells)]
    made = file(tmp_path_factory.mktemp("rows"), table, media)
    batches = list(made.batches(start))
    assert [row for batch in batches for row in batch] == table[start:]
    assert all(len(batch) <= rows.ROWS for batch in batches)
    *_, count = made.look(["text", "nr"])
    assert count == len(table)


def test_long_rows_go_fewer_at_a_time(tmp_path: Path) -> None:
    table = [{"text": "x" * 200_000, "nr": str(n)} for n in range(10)]
    assert [len(batch) for batch in file(tmp_path, table, CSV).batches()] == [3, 3, 3, 1]
    assert [len(batch) for batch in file(tmp_path, table, NDJSON).batches()] == [3, 3, 3, 1]


def test_steps_are_short_however_far_the_row_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "STEP_SECONDS", 0.0)
    made = file(tmp_path, [{"text": "x", "nr": str(n)} for n in range(50)], CSV)
    batches = list(made.batches(40))
    assert [len(batch) for batch in batches] == [0] * 40 + [10]
    assert list(made.look(["text"])) == [*range(1, 51), 50]


def test_a_line_without_end_is_an_error_and_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_LINE", 1_000)
    (tmp_path / "rows").write_bytes(b'{"text": "' + b"x" * 5_000 + b'"}\n{"text": "a"}\n')
    (batch,) = File(tmp_path / "rows", NDJSON).batches()
    assert batch[0].code == "too_large"
    assert batch[1] == {"text": "a"}


def test_columns_of_lines_may_differ(tmp_path: Path) -> None:
    made = File(tmp_path / "rows", NDJSON)
    made.path.write_text('{"a": 1}\n{"b": 1}\n')
    assert list(made.look(["a", "b"])) == [2]
    with pytest.raises(DataError, match="no row has the column 'c'") as caught:
        list(made.look(["a", "c"]))
    assert caught.value.found == "'a'"


def test_media_and_charset() -> None:
    assert check_media("Text/CSV", "") == (CSV, None)
    assert check_media('text/csv; Charset="GBK"', "identity") == (CSV, "gbk")
    assert check_media("text/csv; charset=latin1", "") == (CSV, "iso8859-1")
    assert check_media("text/csv; header=present", "") == (CSV, None)
    assert check_media(f"{NDJSON}; charset=utf-8", "") == (NDJSON, None)
    with pytest.raises(wire.MediaTypeError):
        check_media("text/plain", "")
    for charset in ("klingon", "hex", "idna", "undefined", "utf-7", "\\", ""):
        with pytest.raises(wire.MediaTypeError, match="charset"):
            check_media(f"text/csv; charset={charset}", "")
