"""Columns as features: known answers, unseen and missing cells, one row against the batch."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.columns import UNSEEN, ColumnEncoder, ColumnReader
from trunkline.errors import BundleError

NAN = math.nan
KINDS = {"age": "number", "城市": "category", "member": "bool", "note": "text"}
ROWS: list[dict[str, Any]] = [
    {"age": 20.0, "城市": "北京", "member": 1.0, "note": "x"},
    {"age": 40.0, "城市": "北京", "member": 0.0, "note": ""},
    {"age": NAN, "城市": "Paris", "member": 1.0, "note": "y"},
    {"age": 30.0, "城市": "Paris", "member": 0.0, "note": "z"},
    {"age": 30.0, "城市": "once", "member": NAN, "note": "z"},
    {"age": 30.0, "城市": None, "member": 1.0, "note": "z"},
]


def test_reading_gives_numbers_codes_and_nan_for_missing() -> None:
    reader = ColumnReader.fit(KINDS, ROWS)
    assert [c.name for c in reader.columns] == ["age", "城市", "member"]  # text is the trunk's
    assert reader.columns[1].values == ("Paris", "北京")  # equal counts: by name; `once` is too rare
    raw = reader.read([*ROWS[:3], {"age": 1.0, "城市": "Mars"}])
    np.testing.assert_array_equal(raw, [[20, 1, 1], [40, 1, 0], [NAN, 0, 1], [1, UNSEEN, NAN]])


def test_reading_no_rows_gives_no_rows() -> None:
    assert ColumnReader.fit(KINDS, ROWS).read([]).shape == (0, 3)


def test_features_of_known_rows() -> None:
    encoder = ColumnEncoder.fit(KINDS, ROWS)
    assert encoder.names == (
        "age", "member", "age missing", "member missing",
        "城市 missing", "城市 other", "城市=Paris", "城市=北京",
    )  # fmt: skip
    got = encoder.transform(ROWS)
    assert got.dtype == np.float32
    deviation = np.std([20, 40, 30, 30, 30])
    np.testing.assert_allclose(got[:, 0], np.array([-10, 10, 0, 0, 0, 0]) / deviation, rtol=1e-6)
    np.testing.assert_array_equal(
        got[:, 2:],
        [
            [0, 0, 0, 0, 0, 1],
            [0, 0, 0, 0, 0, 1],
            [1, 0, 0, 0, 1, 0],
            [0, 0, 0, 0, 1, 0],
            [0, 1, 0, 1, 0, 0],
            [0, 0, 1, 0, 0, 0],
        ],
    )


def test_an_unseen_category_is_other_or_nothing() -> None:
    seen_rare = ColumnEncoder.fit(KINDS, ROWS).transform([{"age": 30.0, "城市": "Mars", "member": 0.0}])
    assert seen_rare[0, 5] == 1
    none_rare = ColumnEncoder.fit({"c": "category"}, [{"c": "a"}, {"c": "a"}])
    assert none_rare.names == ("c=a",)
    np.testing.assert_array_equal(none_rare.transform([{"c": "b"}, {"c": None}, {"c": "a"}])[:, 0], [0, 0, 1])


def test_far_numbers_are_held_near_the_training_range() -> None:
    encoder = ColumnEncoder.fit({"x": "number"}, [{"x": 0.0}, {"x": 10.0}])
    low, high, far = encoder.transform([{"x": -10.0}, {"x": 20.0}, {"x": 1e300}])[:, 0]
    assert (low, high) == (-3, 3)
    assert far == high


def test_knots_bend_a_line() -> None:
    rows = [{"x": float(i)} for i in range(101)]
    encoder = ColumnEncoder.fit({"x": "number"}, rows, knots=3)
    features = encoder.transform(rows)
    assert encoder.dim == 4
    assert [int((features[:, j] > 0).sum()) for j in (1, 2, 3)] == [75, 50, 25]  # hinges at the quartiles


def test_a_constant_or_empty_column_gives_finite_features() -> None:
    rows: list[dict[str, Any]] = [{"same": 5.0, "empty": NAN, "c": None}] * 3
    features = ColumnEncoder.fit(
        {"same": "number", "empty": "date", "c": "category"}, rows, knots=4
    ).transform(rows)
    assert np.isfinite(features).all()


cell = st.one_of(st.just(NAN), st.floats(-1e6, 1e6), st.integers(-3, 3).map(float))
word = st.sampled_from(["a", "b", "好", "差", "", None])
table = st.lists(st.fixed_dictionaries({"n": cell, "m": cell, "c": word, "d": word}), min_size=1, max_size=30)
TABLE_KINDS = {"n": "number", "m": "date", "c": "category", "d": "category"}


@given(train=table, rows=table, knots=st.integers(0, 5))
def test_a_saved_encoder_gives_the_same_features_and_a_row_its_own(
    train: list[dict[str, Any]], rows: list[dict[str, Any]], knots: int
) -> None:
    encoder = ColumnEncoder.fit(TABLE_KINDS, train, knots)
    meta, arrays = encoder.save()
    again = ColumnEncoder.load(json.loads(json.dumps(meta)), arrays)
    whole = encoder.transform(rows)
    assert whole.shape == (len(rows), encoder.dim)
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(again.transform(rows), whole)
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(encoder.transform([row])[0], whole[i])


@pytest.mark.parametrize("broken", ["mean", "category_other", "knots"])
def test_a_damaged_encoder_is_refused(broken: str) -> None:
    meta, arrays = ColumnEncoder.fit(KINDS, ROWS, knots=2).save()
    with pytest.raises(BundleError):
        ColumnEncoder.load(meta, {**arrays, broken: np.zeros(7)})
    with pytest.raises(BundleError):
        ColumnEncoder.load(meta, {name: array for name, array in arrays.items() if name != broken})


@pytest.mark.parametrize(
    "columns", [None, 3, [{"name": "x"}], [{"name": "x", "kind": "image", "values": []}],
                [{"name": "x", "kind": "category", "values": ["a", "a"]}]]
)  # fmt: skip
def test_damaged_columns_are_refused(columns: Any) -> None:
    with pytest.raises(BundleError):
        ColumnReader.load(columns)
