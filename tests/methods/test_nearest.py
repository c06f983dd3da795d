"""The nearest training rows, by texts and by table columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trunkline.methods.nearest import nearest
from trunkline.spec import parse_spec
from trunkline.types import Call, Outputs

TRAIN: list[dict[str, Any]] = [
    {"text": "aaaa", "size": 1.0, "shop": "x"},
    {"text": "aaab", "size": 9.0, "shop": "y"},
    {"text": "bbbb", "size": 1.0, "shop": "x"},
    {"text": "bbba", "size": 9.0, "shop": "y"},
]


def letters(calls: Sequence[Call]) -> Outputs:
    assert {call.engine for call in calls} == {"trunk:hash"}
    return [np.array([[text.count("a"), text.count("b")] for text in call.items], np.float32) for call in calls]


def spec(**inputs: str) -> Any:
    return parse_spec({"name": "p", "task": "classify", "label": "y", "inputs": inputs, "trunks": {"text": "hash"}})


def test_by_texts_by_tables_and_by_both() -> None:
    row = {"text": "aaaa", "size": 9.0, "shop": "y"}
    assert set(nearest(spec(text="text"), TRAIN, [row], 2, letters)[0]) == {0, 1}
    assert set(nearest(spec(size="number", shop="category"), TRAIN, [row], 2, letters)[0]) == {1, 3}
    assert nearest(spec(text="text", size="number", shop="category"), TRAIN, [row], 1, letters) == [[1]]


def test_without_trunk_and_table_there_are_none() -> None:
    bare = parse_spec({"name": "p", "task": "classify", "label": "y", "inputs": {"text": "text"}, "trunks": {"text": "none"}})
    assert nearest(bare, TRAIN, TRAIN[:2], 2, letters) == [[], []]
