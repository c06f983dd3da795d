from __future__ import annotations

from pathlib import Path

import pytest

from trunkline.data.sources.jsonl import JsonlSource
from trunkline.errors import DataError


def rows(tmp_path: Path, data: bytes) -> list[dict[str, object]]:
    (tmp_path / "a.jsonl").write_bytes(data)
    return list(JsonlSource(tmp_path / "a.jsonl").rows())


def test_cells_keep_their_types(tmp_path: Path) -> None:
    assert rows(tmp_path, b'{"a": 1, "b": null, "c": [true, 1.5]}\n') == [{"a": 1, "b": None, "c": [True, 1.5]}]


def test_what_other_writers_write(tmp_path: Path) -> None:
    read = rows(tmp_path, b'\xef\xbb\xbf{"a": NaN}\r\n{"a": "\\ud83d"}\n')
    assert read[0]["a"] != read[0]["a"]
    assert read[1]["a"] == "\ud83d"


def test_line_separators_inside_a_text_end_no_line(tmp_path: Path) -> None:
    assert rows(tmp_path, '{"a": "x\u2028y\u0085z"}\n'.encode()) == [{"a": "x\u2028y\u0085z"}]


def test_gbk(tmp_path: Path) -> None:
    assert rows(tmp_path, '{"文本": "我的卡还没到，怎么办"}\n'.encode("gbk")) == [{"文本": "我的卡还没到，怎么办"}]


@pytest.mark.parametrize("bad", [b"{", b"[1]", b"5", b'"x"', b"{'a': 1}", b"not json"])
def test_a_bad_line_is_named(tmp_path: Path, bad: bytes) -> None:
    with pytest.raises(DataError, match="line 3"):
        rows(tmp_path, b'{"a": 1}\n\n' + bad + b"\n")


def test_empty(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty"):
        rows(tmp_path, b"\n")


def test_nesting_too_deep_is_an_error_of_its_line(tmp_path: Path) -> None:
    file = tmp_path / "deep.jsonl"
    file.write_text('{"text": "a"}\n' + "[" * 100_000 + "\n")
    with pytest.raises(DataError) as caught:
        list(JsonlSource(file).rows())
    assert "line 2" in caught.value.where
