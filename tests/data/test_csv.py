from __future__ import annotations

import contextlib
import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline.data.sources.csv import CsvSource
from trunkline.errors import DataError

CELL = st.text(alphabet=st.sampled_from('ab,;|\t"\n 中😀<'), max_size=6)
SAME_FOLDER = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rows(tmp_path: Path, data: bytes | str, encoding: str | None = None) -> tuple[list[dict[str, str]], list[str]]:
    (tmp_path / "a.csv").write_bytes(data if isinstance(data, bytes) else data.encode())
    source = CsvSource(tmp_path / "a.csv", encoding)
    return list(source.rows()), [note.message for note in source.notes]


def refused(tmp_path: Path, data: bytes | str, encoding: str | None = None) -> str:
    with pytest.raises(DataError) as caught:
        rows(tmp_path, data, encoding)
    assert str(tmp_path / "a.csv") in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 4
    return str(caught.value)


@pytest.mark.parametrize(("delimiter", "name"), [(",", ""), (";", "semicolon"), ("\t", "tab"), ("|", "bar")])
def test_delimiters(tmp_path: Path, delimiter: str, name: str) -> None:
    text = f'text{delimiter}label\r\n"a, b; c"{delimiter}x\r\n'
    read, notes = rows(tmp_path, text)
    assert read == [{"text": "a, b; c", "label": "x"}]
    assert [name in note for note in notes] == ([True] if name else [])


def test_one_column_with_commas_in_quotes(tmp_path: Path) -> None:
    assert rows(tmp_path, 'text\n"a, b"\nc\n')[0] == [{"text": "a, b"}, {"text": "c"}]


def test_newline_in_quotes_and_blank_lines(tmp_path: Path) -> None:
    assert rows(tmp_path, 'a,b\n\n"x\ny",1\n\n')[0] == [{"a": "x\ny", "b": "1"}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "big5", "utf-16"])
def test_encodings_of_chinese(tmp_path: Path, encoding: str) -> None:
    text = "評論,標籤\n酒店位置很好，早餐也不錯。,好\n房間太小，服務不好。,差\n" * 1
    read, notes = rows(tmp_path, text.encode(encoding))
    assert [row["標籤"] for row in read] == ["好", "差"]
    assert read[0]["評論"] == "酒店位置很好，早餐也不錯。"
    assert bool(notes) == (not encoding.startswith("utf-8"))


def test_gbk_is_detected_read_and_said(tmp_path: Path) -> None:
    read, notes = rows(tmp_path, "文本,标签\n我的卡还没到，怎么办,物流\n".encode("gbk"))
    assert read == [{"文本": "我的卡还没到，怎么办", "标签": "物流"}]
    assert "GB18030" in notes[0]


def test_gbk_far_behind_ascii_rows(tmp_path: Path) -> None:
    data = b"text,label\n" + b"plain words only,x\n" * 120_000 + "我的卡还没到，怎么办,物流\n".encode("gbk")
    read, _ = rows(tmp_path, data)
    assert read[-1] == {"text": "我的卡还没到，怎么办", "label": "物流"}


def test_latin_letters(tmp_path: Path) -> None:
    read, notes = rows(tmp_path, "text,label\nun café très cher à Orléans,x\n".encode("cp1252"))
    assert read[0]["text"] == "un café très cher à Orléans"
    assert "Latin" in notes[0]


def test_a_given_encoding_is_obeyed_or_refused(tmp_path: Path) -> None:
    assert rows(tmp_path, "a,b\né,1\n".encode("latin-1"), "latin-1")[0][0]["a"] == "é"
    assert "not utf-8 text" in refused(tmp_path, b"a,b\n\xff\xfe\xfd,1\n", "utf-8")
    assert "encoding is not known" in refused(tmp_path, b"a,b\n1,2\n", "klingon")


def test_ragged_rows_name_the_line(tmp_path: Path) -> None:
    message = refused(tmp_path, 'text,label\n"two\nlines",x\na,b,c\n')
    assert "line 4" in message
    assert "3 cells" in message


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", b"   \r\n"])
def test_empty(tmp_path: Path, data: bytes) -> None:
    assert "empty" in refused(tmp_path, data)


def test_header_only_gives_no_rows(tmp_path: Path) -> None:
    assert rows(tmp_path, "a,b\n")[0] == []


def test_header_named_twice(tmp_path: Path) -> None:
    assert "'a'" in refused(tmp_path, "a,b, a\n1,2,3\n")


def test_unnamed_columns_get_a_name(tmp_path: Path) -> None:
    assert rows(tmp_path, ",a\n0,x\n")[0] == [{"column_1": "0", "a": "x"}]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"PK\x03\x04" + bytes(range(256)), "Excel"),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), "PNG"),
        (b"%PDF-1.7 abc", "PDF"),
        (bytes(range(256)) * 40, "binary"),
        (b"\0" * 100, "binary"),
    ],
)
def test_binary_junk(tmp_path: Path, data: bytes, kind: str) -> None:
    assert kind in refused(tmp_path, data)


@pytest.mark.parametrize(
    ("data", "found"), [(b"a,b\n1,2\n3,\0\0\0\n", "NUL bytes"), (b"a,b\n1,2\n\x01\0\x02\x03,4\n5,6\n", "binary data")]
)
def test_binary_bytes_are_named_by_their_line(tmp_path: Path, data: bytes, found: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        list(CsvSource(path).rows())
    assert (caught.value.found, caught.value.where) == (found, f"{path}, line 3")


def test_bytes_that_are_no_text_are_named_by_their_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("text,label\nok,a\n卡,b\n".encode("gbk"))
    with pytest.raises(DataError) as caught:
        list(CsvSource(path, "utf-8").rows())
    assert caught.value.where == f"{path}, line 3"


def test_a_few_nul_bytes_are_no_junk(tmp_path: Path) -> None:
    read, _ = rows(tmp_path, "text,label\n" + "some plain text,x\n" * 20 + "a\0b,x\n")
    assert read[-1]["text"] == "a\0b"


@pytest.mark.parametrize("text", ['a,b\n"x,1\n2,3\n', 'a,b\n1,2\n"x"y,3\n'])
def test_broken_quotes(tmp_path: Path, text: str) -> None:
    assert "broken" in refused(tmp_path, text)


def test_a_cell_of_10_mb(tmp_path: Path) -> None:
    assert len(rows(tmp_path, "text,label\n" + "x" * 10_000_000 + ",y\n")[0][0]["text"]) == 10_000_000


@SAME_FOLDER
@given(table=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=6))
def test_what_python_writes_is_read_back(tmp_path: Path, table: list[tuple[str, str, str]]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([("first", "second", "third"), *table])
    assert [tuple(row.values()) for row in rows(tmp_path, out.getvalue())[0]] == table


@SAME_FOLDER
@given(data=st.binary(max_size=300))
def test_any_bytes_are_rows_or_one_clear_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    with contextlib.suppress(DataError):
        for row in CsvSource(tmp_path / "a.csv").rows():
            assert isinstance(row, dict)
