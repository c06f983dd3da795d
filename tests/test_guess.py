"""Guessing task, kinds and identifiers from cells."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import DataError
from trunkline.guess import Guessed, guess_columns
from trunkline.inputs import KINDS


def guess(**columns: list[Any]) -> Guessed:
    """The guess of 60 rows; shorter columns repeat."""
    rows = [{name: cells[i % len(cells)] for name, cells in columns.items()} for i in range(60)]
    return guess_columns(rows, "label", None, "my.csv")


TEXTS = [f"客户说他的银行卡还没有寄到 {i}" for i in range(60)]
NAMES = ["red", "green"]


@pytest.mark.parametrize(
    ("cells", "task"),
    [
        (["good", "bad"], "classify"),
        (["好", "坏", ""], "classify"),
        ([1, 2, 3, 4, 5], "classify"),
        ([True, False], "classify"),
        ([f"{i / 7:.2f}" for i in range(60)], "regress"),
        ([f"{i},{i:03}" for i in range(1, 60)], "regress"),
        (["a|b", "a", "b|c", "c", ""], "multilabel"),
        (["价格、服务", "服务", "价格", "环境、服务"], "multilabel"),
        (["red, large", "blue, small"], "classify"),
        (["|red||large|", "|blue|"], "multilabel"),
        ([f"|{i % 7}||{i}|" for i in range(60)], "multilabel"),
    ],
)
def test_task(cells: list[Any], task: str) -> None:
    assert guess(text=TEXTS, label=cells).task == task


def test_labels_between_signs_are_counted_clean() -> None:
    found = guess(text=TEXTS, label=["|红||large|", "|blue|"])
    assert found.separator == "|"
    assert "several of 3 labels" in found.notes[0]


def test_separator_is_written_down() -> None:
    assert guess(text=TEXTS, label=["a; b", "a", "b; c"]).separator == ";"


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (TEXTS, "text"),
        ([f"{i * 1.5}" for i in range(60)], "number"),
        (NAMES, "category"),
        (["2024-01-31", "2024-02-01"], "date"),
        (["yes", "no"], "bool"),
        (["是", "否"], "bool"),
    ],
)
def test_kind(cells: list[Any], kind: str) -> None:
    found = guess(**{"label": NAMES, "column": cells, "other": TEXTS})
    assert found.inputs["column"] == kind


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("customer_id", [f"C{i}" for i in range(60)]),
        ("order", list(range(1000, 1060))),
        ("编号", [str(i * 7) for i in range(60)]),
        ("country", ["DE"]),
        ("unused", ["", None]),
    ],
)
def test_left_out(name: str, cells: list[Any]) -> None:
    found = guess(**{"label": NAMES, name: cells, "text": TEXTS})
    assert name in found.left_out
    assert name not in found.inputs


def test_a_number_that_differs_in_every_row_stays() -> None:
    found = guess(**{"label": NAMES, "amount": [f"{i * 3.7:.1f}" for i in range(60)]})
    assert found.inputs == {"amount": "number"}


def test_asked_inputs_are_never_left_out() -> None:
    rows = [{"id": f"C{i}", "text": TEXTS[i], "label": NAMES[i % 2]} for i in range(60)]
    assert set(guess_columns(rows, "label", ["id"], "my.csv").inputs) == {"id"}


@pytest.mark.parametrize(
    ("cells", "match"),
    [(["one"], "one value only"), (["", None], "no values"), ([f"x{i}" for i in range(60)], "identifier")],
)
def test_labels_that_cannot_be_learned(cells: list[Any], match: str) -> None:
    with pytest.raises(DataError, match=match):
        guess(text=TEXTS, label=cells)


def test_without_a_label_one_is_found_by_name_or_asked_for() -> None:
    rows = [{"text": text, "Sentiment": NAMES[i % 2]} for i, text in enumerate(TEXTS)]
    found = guess_columns(rows, None, None, "my.csv")
    assert found.label == "Sentiment"
    assert "by its name" in found.notes[0]
    with pytest.raises(DataError, match="--label"):
        guess_columns([{"a": "1", "b": "2"}], None, None, "my.csv")


def test_nothing_to_learn_from_is_refused() -> None:
    rows = [{"id": f"C{i}", "label": NAMES[i % 2]} for i in range(60)]
    with pytest.raises(DataError, match="no column to learn from"):
        guess_columns(rows, "label", None, "my.csv")


cells = st.one_of(st.none(), st.text(max_size=12), st.integers(), st.floats(), st.booleans())


@given(st.lists(st.fixed_dictionaries({"a": cells, "b": cells, "label": cells}), min_size=1, max_size=30))
def test_any_rows_give_a_product_or_a_data_error(rows: list[dict[str, Any]]) -> None:
    try:
        found = guess_columns(rows, "label", None, "my.csv")
    except DataError:
        return
    assert set(found.inputs) | set(found.left_out) == {"a", "b"}
    assert set(found.inputs.values()) <= set(KINDS.names())
