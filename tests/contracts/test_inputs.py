"""The input-kind door's contract, run over every registered kind."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.inputs import KINDS
from trunkline.types import InputKind, Refused

JSON_CELLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
CELLS = ["", " ", "我的卡还没到", "a 😀", "1,234.5", "12%", "2024年1月2日", "是", "a\0b", 3, 3.0, True, None, math.nan]


@pytest.fixture(params=KINDS.names())
def kind(request: pytest.FixtureRequest) -> InputKind:
    return KINDS.get(request.param)()


def test_name_is_the_registered_one() -> None:
    for name in KINDS.names():
        assert KINDS.get(name).name == name


@given(raw=JSON_CELLS)
@pytest.mark.parametrize("name", KINDS.names())
def test_any_json_cell_is_a_value_or_a_refusal(name: str, raw: Any) -> None:
    kind = KINDS.get(name)()
    value = kind.read(raw)
    if isinstance(value, Refused):
        assert value.code in {"missing", "unreadable", "too_long"}
        assert value.message
    else:
        key = kind.key(value)
        assert isinstance(key, bytes)
        assert len(key) == 16
        assert key == kind.key(value)


@pytest.mark.parametrize("raw", CELLS)
def test_reading_twice_is_the_same(kind: InputKind, raw: Any) -> None:
    assert repr(kind.read(raw)) == repr(kind.read(raw))


def test_a_missing_cell_is_refused_or_a_value(kind: InputKind) -> None:
    for raw in (None, ""):
        value = kind.read(raw)
        assert isinstance(value, Refused) or value is None or math.isnan(value)


def test_keys_of_kinds_differ_for_different_values(kind: InputKind) -> None:
    values = [value for raw in CELLS if not isinstance(value := kind.read(raw), Refused)]
    names = {repr(value): kind.key(value) for value in values}
    assert len(set(names.values())) == len(names)


def test_schema_is_json_and_its_examples_read(kind: InputKind) -> None:
    schema = json.loads(json.dumps(kind.schema()))
    assert schema["examples"]
    for example in schema["examples"]:
        assert not isinstance(kind.read(example), Refused)


@pytest.mark.parametrize("cells", [[], CELLS, ["a"] * 5, [None, None], [1, 2, 3]])
def test_guess_is_a_share(kind: InputKind, cells: list[Any]) -> None:
    assert 0 <= kind.guess(cells) <= 1


@pytest.mark.parametrize(
    ("cells", "best"),
    [
        (["I lost my card yesterday", "where is my new card", "how do I top up my card"], "text"),
        (["我的卡还没有到怎么办", "怎么修改我的密码呢请问", "账户被锁定了要怎么解锁"], "text"),
        (["12", "1,200.5", "", "-3", "7%"], "number"),
        ([1, 2.5, None], "number"),
        (["red", "blue", "red", "red", "blue", "green"], "category"),
        (["内科", "外科", "内科", "外科", "内科"], "category"),
        (["2024-01-02", "2024/1/3", "", "2024年1月4日"], "date"),
        (["yes", "no", "yes", ""], "bool"),
        (["是", "否", "是"], "bool"),
        ([True, False, None], "bool"),
        (["a/1.jpg", "b/2.PNG", "c.webp"], "image"),
        (["a/1.wav", "b/2.MP3", "c.flac"], "audio"),
    ],
)
def test_guess_picks_the_kind(cells: list[Any], best: str) -> None:
    scores = {name: KINDS.get(name)().guess(cells) for name in KINDS.names()}
    assert max(scores, key=lambda name: scores[name]) == best, scores
