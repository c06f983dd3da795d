"""The source door's contract: the same three rows through every built-in source, and its errors."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trunkline.data.read import open_source
from trunkline.data.sources import SOURCES
from trunkline.errors import DataError
from trunkline.spec import Query
from trunkline.types import Source

ROWS = [
    {"label": "emoji", "text": 'I said "hi" 😀, twice\nand left'},
    {"label": "html", "text": "<b>bold</b> & so on"},
    {"label": "中文", "text": "我的卡，还没到"},
]


def csv_file(root: Path, patch: pytest.MonkeyPatch) -> str | Query:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    lines = ["label,text", *(f"{quoted(row['label'])},{quoted(row['text'])}" for row in ROWS)]
    (root / "a.csv").write_text("\n".join(lines), encoding="utf-8-sig", newline="")
    return "a.csv"


def jsonl_file(root: Path, patch: pytest.MonkeyPatch) -> str | Query:
    (root / "a.jsonl").write_text("\n\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    return "a.jsonl"


def parquet_file(root: Path, patch: pytest.MonkeyPatch) -> str | Query:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(ROWS), root / "a.parquet")
    return "a.parquet"


def class_folders(root: Path, patch: pytest.MonkeyPatch) -> str | Query:
    for row in ROWS:
        (root / "rows" / row["label"]).mkdir(parents=True)
        (root / "rows" / row["label"] / "1.txt").write_text(row["text"], encoding="utf-8", newline="")
    return "rows"


def database(root: Path, patch: pytest.MonkeyPatch) -> str | Query:
    with sqlite3.connect(root / "a.db") as connection:
        connection.execute("create table t (label text, text text)")
        connection.executemany("insert into t values (:label, :text)", ROWS)
    connection.close()
    patch.setenv("TRUNKLINE_CONNECTION_SHOP", f"sqlite:///{root / 'a.db'}")
    return Query("shop", "SELECT label, text FROM t ORDER BY label -- all; of them")


MAKERS = {"csv": csv_file, "jsonl": jsonl_file, "parquet": parquet_file, "folder": class_folders, "sql": database}
Maker = Callable[[Path, pytest.MonkeyPatch], str | Query]


@pytest.fixture(params=sorted(MAKERS))
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    return open_source(MAKERS[request.param](tmp_path, monkeypatch), tmp_path)


def test_every_built_in_source_is_tried_here() -> None:
    assert set(SOURCES.names()) >= set(MAKERS)
    assert all(SOURCES.get(name).__module__.startswith("trunkline.") for name in MAKERS)


def wanted(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("label", "text")}


def test_rows(source: Source) -> None:
    assert [wanted(dict(row)) for row in source.rows()] == ROWS


def test_rows_can_be_read_twice(source: Source) -> None:
    assert list(source.rows()) == list(source.rows())


def test_rows_stream_and_can_be_left_early(source: Source) -> None:
    rows = source.rows()
    assert wanted(dict(next(rows))) == ROWS[0]
    rows.close()  # type: ignore[attr-defined]


def test_describe_names_no_folder_of_this_machine(source: Source, tmp_path: Path) -> None:
    assert source.describe()
    assert str(tmp_path) not in source.describe()


def test_opening_reads_nothing(tmp_path: Path) -> None:
    for name in ("no.csv", "no.jsonl", "no.parquet"):
        source = open_source(name, tmp_path)
        with pytest.raises(DataError, match="does not exist"):
            next(source.rows())
