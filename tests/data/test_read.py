from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.parts import FakeTask, csv_of, load, spec

from trunkline.data.read import open_path, open_source, read_examples, read_rows
from trunkline.data.split import RECORD
from trunkline.errors import DataError
from trunkline.spec import Proof, Query, Spec

MANY = [(f"question number {i}", "ab"[i % 2]) for i in range(60)]


def test_published_files_are_respected(tmp_path: Path) -> None:
    loaded = load(tmp_path, csv_of(MANY), csv_of(MANY[:5]))
    assert (len(loaded.train), len(loaded.test)) == (60, 5)
    assert loaded.train.labels == loaded.test.labels == ("a", "b")
    assert loaded.train.inputs[3] == {"text": "question number 3"}
    assert loaded.train.rows.tolist() == list(range(60))
    assert loaded.split.how == "published"
    assert loaded.source == "train.csv, test.csv"
    assert not (tmp_path / RECORD).exists()


def test_a_split_is_stable_and_recorded(tmp_path: Path) -> None:
    first = load(tmp_path, csv_of(MANY))
    assert (tmp_path / RECORD).exists()
    test = {row["text"] for row in first.test.inputs}
    more = [("a new one", "a"), *reversed(MANY), *((f"other {i}", "b") for i in range(50))]
    second = load(tmp_path, csv_of(more))
    known = {text for text, _ in MANY}
    assert {row["text"] for row in second.test.inputs} & known == test


def test_equal_inputs_never_straddle(tmp_path: Path) -> None:
    rows = [(text.upper() if copy else f"  {text}", label) for text, label in MANY for copy in (0, 1)]
    loaded = load(tmp_path, csv_of(rows))
    assert not set(loaded.input_keys["train"]) & set(loaded.input_keys["test"])
    assert len(loaded.train) % 2 == 0


def test_groups_never_straddle(tmp_path: Path) -> None:
    rows = [(text, label, f"g{i % 12}") for i, (text, label) in enumerate(MANY)]
    loaded = load(tmp_path, csv_of(rows, "text,label,who"), of=spec(group="who"))
    assert loaded.train.groups is not None
    assert loaded.test.groups is not None
    assert not set(loaded.train.groups) & set(loaded.test.groups)


def test_time_split(tmp_path: Path) -> None:
    rows = [(text, label, f"2024-01-{i % 28 + 1:02}") for i, (text, label) in enumerate(MANY)]
    loaded = load(tmp_path, csv_of(rows, "text,label,day"), of=spec(time="day"))
    assert loaded.train.times is not None
    assert loaded.test.times is not None
    assert max(loaded.train.times) < min(loaded.test.times)


def test_a_row_without_time_is_refused(tmp_path: Path) -> None:
    rows = [(text, label, "" if i == 7 else f"2024-01-{i % 28 + 1:02}") for i, (text, label) in enumerate(MANY)]
    loaded = load(tmp_path, csv_of(rows, "text,label,day"), of=spec(time="day"))
    assert [(row.row, row.column, row.code) for row in loaded.refused] == [(7, "day", "no_time")]


def test_missing_column_offers_the_nearest_before_reading_on(tmp_path: Path) -> None:
    text = "txt,label\n" + "a,b\n" * 200 + "ragged\n"
    with pytest.raises(DataError, match=r"no column 'text'[\s\S]*did you mean 'txt'"):
        load(tmp_path, text)


@pytest.mark.parametrize("product", [spec(group="who"), spec(id="who"), spec(time="who")])
def test_other_columns_must_be_there_too(tmp_path: Path, product: Spec) -> None:
    with pytest.raises(DataError, match="no column 'who'"):
        load(tmp_path, csv_of(MANY), of=product)


def test_json_lines_may_leave_out_empty_cells(tmp_path: Path) -> None:
    rows = [{"text": f"t {i}", "label": "ab"[i % 2]} | ({"age": i} if i else {}) for i in range(20)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    product = spec({"text": "text", "age": "number"}, train="a.jsonl")
    loaded = read_examples(product, FakeTask(), tmp_path)  # type: ignore[arg-type]
    ages = [row["age"] for part in (loaded.train, loaded.test) for row in part.inputs]
    assert sum(np.isnan(ages)) == 1


def test_empty_and_header_only(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty"):
        load(tmp_path, "")
    with pytest.raises(DataError, match="no rows"):
        load(tmp_path, "text,label\n")


def test_refused_rows_are_counted_with_reason(tmp_path: Path) -> None:
    text = csv_of([*MANY, ("", "a"), ("text", " "), ("x" * 10_000_000, "a")])
    loaded = load(tmp_path, text, csv_of(MANY[:4]))
    assert [(row.row, row.code) for row in loaded.refused] == [(60, "missing"), (61, "missing_label"), (62, "too_long")]
    assert len(loaded.train) == 60


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no test rows are left"):
        load(tmp_path, csv_of(MANY), "text,label\n,a\n")


def test_labels_that_are_all_missing_are_the_error_not_the_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no train rows[\s\S]*2 rows refused, 2 as the label is missing"):
        load(tmp_path, csv_of([("x", ""), ("y", "")]))


def test_labels_are_stripped_and_said(tmp_path: Path) -> None:
    loaded = load(tmp_path, csv_of([(text, f" {label} ") for text, label in MANY]), csv_of(MANY[:4]))
    assert loaded.train.labels == ("a", "b")
    assert [note.code for note in loaded.notes] == ["label_spaces"]


def test_html_and_emoji_stay_verbatim(tmp_path: Path) -> None:
    rows = [("<script>alert(1)</script> 😀", "<b>a</b>"), ("b & c", "x")] * 3
    loaded = load(tmp_path, csv_of(rows), csv_of(rows[:2]))
    assert loaded.train.labels == ("<b>a</b>", "x")
    assert loaded.train.inputs[0]["text"] == "<script>alert(1)</script> 😀"


def test_numbers_and_texts_are_one_label(tmp_path: Path) -> None:
    for name, cells in (("train", [1, 0, 1.0, "1"]), ("test", ["1", 0])):
        lines = [json.dumps({"text": f"{name} {i}", "label": cell}) for i, cell in enumerate(cells)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    loaded = read_examples(spec(train="train.jsonl", test="test.jsonl"), FakeTask(), tmp_path)  # type: ignore[arg-type]
    assert loaded.train.labels == ("0", "1")


def test_label_of_the_test_file_never_seen(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load(tmp_path, csv_of([("x", "card"), ("y", "loan")]), csv_of([("z", "card"), ("w", "laon")]))
    message = str(caught.value)
    assert "test.csv, row 2" in message
    assert "did you mean 'loan'" in message


def test_a_label_that_only_the_split_off_part_has_is_left_out(tmp_path: Path) -> None:
    plain = load(tmp_path, csv_of(MANY))
    only = plain.test.rows[0]
    rows = [(text, "once" if i == only else label) for i, (text, label) in enumerate(MANY)]
    loaded = load(tmp_path, csv_of(rows))
    assert loaded.train.labels == ("a", "b")
    assert [(row.row, row.code) for row in loaded.refused] == [(only, "unseen_label")]
    assert len(loaded.test) == len(plain.test) - 1


def test_multilabel_cells(tmp_path: Path) -> None:
    loaded = load(tmp_path, csv_of([("x", "a|b"), ("y", ""), ("z", "b")]), csv_of([("w", "a")]), of=spec(task="multilabel", test="test.csv"))
    assert loaded.train.target.tolist() == [[True, True], [False, False], [False, True]]


def test_regress_reads_numbers_and_leaves_out_the_unreadable(tmp_path: Path) -> None:
    rows = [("x", '"1,200"'), ("y", "NA"), ("z", "5%"), ("w", "cheap")]
    loaded = load(tmp_path, csv_of(rows), csv_of([("v", "3")]), of=spec(task="regress", test="test.csv"))
    assert loaded.train.target.tolist() == [1200.0, 0.05]
    assert [row.code for row in loaded.refused] == ["missing_label", "unreadable"]


@pytest.mark.parametrize(
    ("keys", "rows", "says"),
    [
        ({"task": "regress"}, [("x", "good"), ("y", "坏"), ("z", "1")], ["'label' are no numbers", "row 1", "'good'", "classify"]),
        ({"time": "day"}, [("x", "a", "2024-01-01"), ("y", "b", "soon"), ("z", "b", "周一")], ["'day' are no dates", "row 2", "'soon'", "[data] time"]),
        ({"time": "day"}, [("x", "a", ""), ("y", "b", "")], ["'day' are no dates", "row 1", "time is missing", "[data] time"]),
        ({"inputs": {"text": "number"}}, [("x", "a"), ("贵", "b")], ["'text' are no numbers", "row 1", "'x'", "category"]),
    ],
)
def test_a_column_of_another_kind_is_one_clear_error(tmp_path: Path, keys: Any, rows: Any, says: list[str]) -> None:
    header = "text,label,day" if "time" in keys else "text,label"
    with pytest.raises(DataError) as caught:
        load(tmp_path, csv_of(rows, header), of=spec(**keys))
    assert [part for part in says if part not in str(caught.value)] == []
    assert len(str(caught.value).splitlines()) == 4


def test_slices_and_ids_are_kept_raw(tmp_path: Path) -> None:
    rows = [(text, label, i, "en" if i % 3 else "zh") for i, (text, label) in enumerate(MANY)]
    product = Spec("p", "classify", "label", {"text": "text"}, data=spec(id="no").data, proof=Proof(slices=["lang"]))
    loaded = load(tmp_path, csv_of(rows, "text,label,no,lang"), of=product)
    assert set(loaded.test.columns) == {"lang", "no"}
    assert loaded.test.columns["no"] == [str(row) for row in loaded.test.rows]


def test_digest_follows_the_rows(tmp_path: Path) -> None:
    first = load(tmp_path, csv_of(MANY), csv_of(MANY[:4])).digest
    assert load(tmp_path, csv_of(MANY), csv_of(MANY[:4])).digest == first
    assert load(tmp_path, csv_of(MANY), csv_of(MANY[:5])).digest != first


def test_keep(tmp_path: Path) -> None:
    loaded = load(tmp_path, csv_of(MANY), csv_of(MANY[:4]))
    kept = loaded.keep(np.arange(60) >= 50)
    assert kept.train.rows.tolist() == list(range(50, 60))
    assert len(kept.cells["train"]) == len(kept.input_keys["train"]) == 10
    assert len(kept.test) == 4


def test_rows_for_an_evaluation(tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(csv_of([("x", "b"), ("", "a")]))
    examples, refused = read_rows(spec(), open_path(tmp_path / "new.csv"), ("a", "b"), FakeTask())  # type: ignore[arg-type]
    assert examples.target.tolist() == [1]
    assert len(refused) == 1
    with pytest.raises(DataError, match=r"new\.csv, row 1"):
        read_rows(spec(), open_path(tmp_path / "new.csv"), ("a", "c"), FakeTask())  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["../a.csv", "/etc/passwd", "a/../../b.csv", "C:\\a.csv", "a\0.csv"])
def test_paths_stay_below_the_product(tmp_path: Path, value: str) -> None:
    with pytest.raises(DataError, match="leaves the folder"):
        open_source(value, tmp_path)


def test_suffixes(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("x")
    (tmp_path / "classes").mkdir()
    assert type(open_source("a.tsv", tmp_path)).__name__ == "CsvSource"
    assert type(open_source("a.NDJSON", tmp_path)).__name__ == "JsonlSource"
    assert type(open_source("classes", tmp_path)).__name__ == "FolderSource"
    assert type(open_source(Query("c", "SELECT 1"), tmp_path)).__name__ == "SqlSource"
    with pytest.raises(DataError, match="sort of file"):
        open_source("a.xyz", tmp_path)
    for missing in ("no.xyz", "folder", "sql", "x.sql"):
        with pytest.raises(DataError, match="does not exist"):
            open_source(missing, tmp_path)
