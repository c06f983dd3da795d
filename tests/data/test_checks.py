"""Each check on rows made to have its fault, and on rows that have none."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.data.parts import FakeTask, csv_of, load, spec

from trunkline.data.checks import CHECKS, check_data, language_of, leaks, with_wrong_labels
from trunkline.data.checks.confident import wrong_labels
from trunkline.data.checks.texts import estimated_tokens, garbled, language_shares
from trunkline.data.loaded import Loaded
from trunkline.data.read import read_examples
from trunkline.spec import Spec
from trunkline.types import DataReport, Finding

WORDS = np.random.default_rng(0).integers(0, 26, (200, 7))
TEXTS = ["".join(chr(97 + c) for c in word) + " " + "".join(chr(97 + c) for c in word[::2]) for word in WORDS]
CLEAN = [(text, "ab"[i % 2]) for i, text in enumerate(TEXTS)]
TABLE = {"age": "number", "job": "category"}


def report(loaded: Loaded, of: Spec | None = None) -> dict[str, Finding]:
    found = check_data(of or spec(), loaded).findings
    for finding in found:
        assert 0 <= finding.score <= 1
        assert re.search(r"[\u4e00-\u9fff]", finding.message_zh), finding
        assert len(finding.rows) <= 20
        json.dumps(msgspec.to_builtins(finding.rows))
    return {finding.check: finding for finding in found}


def of_texts(tmp_path: Path, rows: list[tuple[str, str]], test: list[tuple[str, str]] | None = None) -> Loaded:
    return load(tmp_path, csv_of(rows), csv_of(test or CLEAN[180:]))


def table(tmp_path: Path, rows: list[tuple[object, ...]], test: list[tuple[object, ...]]) -> Loaded:
    return load(tmp_path, csv_of(rows, "age,job,label"), csv_of(test, "age,job,label"), of=spec(TABLE, test="test.csv"))


def test_clean_rows_have_no_findings(tmp_path: Path) -> None:
    loaded = of_texts(tmp_path, CLEAN[:180])
    whole = check_data(spec(), loaded)
    assert whole.findings == []
    assert whole.rows == {"train": 180, "test": 20, "dropped": 0}
    assert whole.labels == {"a": 90, "b": 90}
    assert whole.columns["text"]["languages"]["en"] == 1
    assert language_of(whole) == "en"


def test_one_class_stops(tmp_path: Path) -> None:
    found = report(load(tmp_path, csv_of([(text, "a") for text in TEXTS])))
    assert found["one_class"].severity == "stop"
    assert "'a'" in found["one_class"].message


@pytest.mark.parametrize("task", ["regress", "multilabel"])
def test_one_answer_stops_other_tasks_too(tmp_path: Path, task: str) -> None:
    product = spec(task=task)
    assert report(load(tmp_path, csv_of([(text, "5") for text in TEXTS]), of=product), product)["one_class"].severity == "stop"


def test_train_rows_equal_to_test_rows_leak(tmp_path: Path) -> None:
    copies = [(f"  {CLEAN[190][0].upper()}!", "a"), ("the ending of this long text is a little other than that of it", "b")]
    test = [*CLEAN[180:], ("the ending of this long text is a little other than that of it.", "b")]
    loaded = of_texts(tmp_path, [*CLEAN[:180], *copies], test)
    assert np.flatnonzero(leaks(loaded)).tolist() == [180, 181]
    finding = report(loaded)["leaks"]
    assert (finding.count, finding.severity) == (2, "warn")
    assert [row["part"] for row in finding.rows] == ["train", "test"] * 2
    assert check_data(spec(), loaded).rows == {"train": 180, "test": 21, "dropped": 2}


def test_a_test_file_that_is_the_train_file_stops(tmp_path: Path) -> None:
    loaded = of_texts(tmp_path, CLEAN, CLEAN)
    assert report(loaded)["leaks"].severity == "stop"
    assert not leaks(loaded).any()


def test_a_group_on_both_sides_leaks(tmp_path: Path) -> None:
    product = spec(group="who", test="test.csv")
    train = [(text, label, i) for i, (text, label) in enumerate(CLEAN[:180])]
    test = [(text, label, 170 + i) for i, (text, label) in enumerate(CLEAN[180:])]
    loaded = load(tmp_path, csv_of(train, "text,label,who"), csv_of(test, "text,label,who"), of=product)
    assert np.flatnonzero(leaks(loaded)).tolist() == list(range(170, 180))


def test_equal_rows_of_a_small_table_are_natural(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [(i % 3, "xy"[i % 2], "ab"[i % 2]) for i in range(60)]
    loaded = table(tmp_path, rows, rows[:10])
    assert not leaks(loaded).any()
    assert not report(loaded, spec(TABLE)).keys() & {"leaks", "duplicates", "conflicting_labels"}


def test_equal_rows_of_a_wide_table_leak(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [(i * 1.7, "xy"[i % 2], "ab"[i // 30]) for i in range(60)]
    assert leaks(table(tmp_path, rows, [(1.7, "y", "a"), (0.5, "y", "b")])).sum() == 1


def test_duplicates_and_conflicts(tmp_path: Path) -> None:
    again = [(CLEAN[0][0], "a"), (CLEAN[1][0], "a"), (f"{CLEAN[2][0]}!!", "a")]
    found = report(of_texts(tmp_path, [*CLEAN[:180], *again]))
    assert found["duplicates"].count == 2
    assert found["near_duplicates"].count == 1
    assert [row["row"] for row in found["conflicting_labels"].rows] == [1, 181]


def test_duplicate_ids(tmp_path: Path) -> None:
    rows = [(text, label, "A7" if i in (3, 5, 9) else i) for i, (text, label) in enumerate(CLEAN)]
    product = spec(id="no")
    found = report(load(tmp_path, csv_of(rows, "text,label,no"), of=product), product)
    assert found["duplicate_ids"].count == 2


def test_missing_cells_and_labels(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [("" if i % 2 else i * 1.7, "x" if i % 3 else "y", "ab"[i // 30]) for i in range(60)]
    found = report(table(tmp_path, [*rows, (1, "x", "")], [(2, "y", "a"), (3, "x", "b")]), spec(TABLE))
    assert (found["missing_inputs"].count, found["missing_inputs"].severity) == (30, "warn")
    assert found["missing_labels"].count == 1
    assert found["missing_labels"].rows[0]["row"] == 60


def test_empty_texts(tmp_path: Path) -> None:
    found = report(of_texts(tmp_path, [*CLEAN[:180], (" ", "a"), ("", "b")]))
    assert found["refused_rows"].count == 2
    assert "text" in found["refused_rows"].message


def test_small_classes_and_imbalance(tmp_path: Path) -> None:
    rows = [(text, "rare" if i < 3 else "usual") for i, text in enumerate(TEXTS[:180])]
    found = report(of_texts(tmp_path, rows, [(text, "usual") for text in TEXTS[180:]]))
    assert "'rare': 3" in found["small_classes"].message
    assert [row["row"] for row in found["small_classes"].rows] == [0, 1, 2]
    assert found["imbalance"].severity == "warn"


def test_labels_that_differ_in_case_alone_are_remarked(tmp_path: Path) -> None:
    rows = [(text, ("Spam", "ham", "spam", "Spam", "card arrival", "card  arrival")[i % 6]) for i, text in enumerate(TEXTS[:180])]
    found = report(of_texts(tmp_path, rows, rows[:30]))["alike_labels"]
    assert (found.severity, found.count) == ("warn", 2)
    assert "'Spam': 60, 'spam': 30" in found.message
    assert "'card  arrival': 30" in found.message
    assert found.rows[0]["cells"]["label"] in ("spam", "card arrival", "card  arrival")
    assert "alike_labels" not in report(of_texts(tmp_path, CLEAN[:180]))


def test_label_shift(tmp_path: Path) -> None:
    found = report(of_texts(tmp_path, CLEAN[:100], [(text, "b") for text in TEXTS[100:]]))
    assert "'a' 50.0 % -> 0.0 %" in found["label_shift"].message


def test_label_shift_of_numbers(tmp_path: Path) -> None:
    product = spec(task="regress", test="test.csv")
    train = [(text, i % 10) for i, text in enumerate(TEXTS[:100])]
    test = [(text, i % 10 + 5) for i, text in enumerate(TEXTS[100:])]
    assert "4.5 -> 9.5" in report(load(tmp_path, csv_of(train), csv_of(test), of=product), product)["label_shift"].message


def test_mojibake(tmp_path: Path) -> None:
    bad = ["我的卡还没有到，怎么办".encode().decode("gb18030", "ignore"), "café à Orléans".encode().decode("cp1252"), "a \ufffd b"]
    found = report(of_texts(tmp_path, [*CLEAN[:177], *((text, "a") for text in bad)]))
    assert found["mojibake"].count == len(bad)


@pytest.mark.parametrize("text", ["我的卡还没到，怎么办？", "un café très cher", "naïve – “quoted” €5", "日本語のテキスト", "😀 ok", "Ünïcödé"])
def test_good_text_is_not_garbled(text: str) -> None:
    assert not garbled(text)


def test_long_inputs(tmp_path: Path) -> None:
    loaded = of_texts(tmp_path, [*CLEAN[:178], ("word " * 900, "a"), ("字" * 2_000, "b")])
    assert report(loaded)["long_inputs"].count == 2
    shorter = {f.check: f for f in check_data(spec(), loaded, max_tokens=1_200).findings}
    assert shorter["long_inputs"].count == 1
    assert "about 1,400" in shorter["long_inputs"].message


def test_token_estimate() -> None:
    assert estimated_tokens("word " * 100) == 125
    assert estimated_tokens("字" * 100) == 70


def test_languages(tmp_path: Path) -> None:
    zh = [(f"这是第{i}个关于银行卡{text[:3]}的问题", label) for i, (text, label) in enumerate(CLEAN[:90])]
    loaded = of_texts(tmp_path, [*zh, *CLEAN[90:180]])
    assert "zh" in report(loaded)["language_mix"].message
    assert language_of(check_data(spec(), of_texts(tmp_path, zh))) == "zh"
    assert language_shares(["私は学生です", "iPhone坏了", "привет", "123", "ok"]) == {"zh": 0.2, "en": 0.2, "other": 0.6}


def test_constant_and_identifier_columns(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = [(7, f"id{i}", "ab"[i % 2]) for i in range(60)]
    found = report(table(tmp_path, rows, [(7, "x", "a"), (7, "y", "b")]), spec(TABLE))
    assert "'age'" in found["constant_columns"].message
    assert "'job'" in found["identifier_columns"].message
    counting: list[tuple[object, ...]] = [(i, "xy"[i % 3 == 0], "ab"[i % 2]) for i in range(60)]
    found = report(table(tmp_path, counting, [(7, "x", "a"), (7.5, "y", "b")]), spec(TABLE))
    assert "'age'" in found["identifier_columns"].message


def test_target_leakage_of_a_name_and_of_a_number(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    side = random.integers(0, 2, 400)
    rows: list[tuple[object, ...]] = [(s * 10 + random.random(), "xyz"[i % 3], "ab"[s]) for i, s in enumerate(side)]
    found = report(table(tmp_path, rows, rows[:4]), spec(TABLE))
    assert "'age'" in found["target_leakage"].message
    noisy: list[tuple[object, ...]] = [(age + 8 * random.random() * (i % 3), job, label) for i, (age, job, label) in enumerate(rows)]  # type: ignore[operator]
    assert "target_leakage" not in report(table(tmp_path, noisy, noisy[:4]), spec(TABLE))


def test_target_leakage_of_a_regression(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    product = spec(TABLE, task="regress", test="test.csv")
    rows = [(x, "xy"[i % 2], 3 * x) for i, x in enumerate(random.random(400))]
    loaded = load(tmp_path, csv_of(rows, "age,job,label"), csv_of(rows[:3], "age,job,label"), of=product)
    assert "'age'" in report(loaded, product)["target_leakage"].message


def test_reading_notes_are_findings(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(csv_of([(f"我的卡{text}还没到", label) for text, label in CLEAN]).encode("gbk"))
    loaded = read_examples(spec(), FakeTask(), tmp_path)  # type: ignore[arg-type]
    assert "GB18030" in report(loaded)["encoding"].message


def test_the_gravest_come_first(tmp_path: Path) -> None:
    rows = [(text, "a") for text in [*TEXTS, TEXTS[0]]]
    severities = [f.severity for f in check_data(spec(), load(tmp_path, csv_of(rows))).findings]
    assert severities == sorted(severities, key=["stop", "warn", "info"].index)
    assert len(severities) > 1


def test_every_check_runs_on_a_tiny_set(tmp_path: Path) -> None:
    loaded = of_texts(tmp_path, [("x", "a"), ("y", "b")], [("z", "a")])
    assert isinstance(check_data(spec(), loaded), DataReport)
    assert len(set(CHECKS)) == len(CHECKS)


def test_wrong_labels_are_found_surest_first() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 300)
    given = truth.copy()
    given[:10] = (truth[:10] + 1) % 3
    probabilities = np.full((300, 3), 0.1)
    probabilities[np.arange(300), truth] = 0.8
    probabilities[5, truth[5]] = 0.85
    suspects = wrong_labels(given, probabilities, ("x", "y", "z"))
    assert suspects[0].at == 5
    assert sorted(s.at for s in suspects) == list(range(10))
    assert all(s.likely == "xyz"[truth[s.at]] and s.given == "xyz"[given[s.at]] for s in suspects)


def test_wrong_labels_join_the_report(tmp_path: Path) -> None:
    loaded = of_texts(tmp_path, CLEAN[:180])
    before = check_data(spec(), loaded)
    probabilities = np.full((180, 2), 0.1)
    probabilities[np.arange(180), loaded.train.target] = 0.9
    assert with_wrong_labels(spec(), loaded, before, probabilities) == before
    probabilities[7] = probabilities[7][::-1]
    finding = with_wrong_labels(spec(), loaded, before, probabilities).findings[-1]
    assert (finding.check, finding.count) == ("wrong_labels", 1)
    assert finding.rows[0]["row"] == 7
