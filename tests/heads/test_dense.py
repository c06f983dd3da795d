from __future__ import annotations

import numpy as np
import pytest

from trunkline.errors import BundleError
from trunkline.heads.dense import Dense, Landmarks, Part, texts_of


def test_outside_is_small_beside_a_landmark_and_large_far_from_all() -> None:
    centre = np.array([5, 5, 5, 5], np.float32)
    marks = Landmarks.of(centre, np.array([[1.0, 0, 0, 0], [0, 1, 0, 0]]))
    near, between, far, opposite = marks.outside(
        centre + np.array([[2, 0, 0, 0], [1, 1, 0, 0], [0, 0, 3, 0], [-1, -1, 0, 0]], np.float32)
    )
    assert near == pytest.approx(0, abs=0.01)
    assert near < between < far < opposite
    assert far == pytest.approx(1, abs=0.01)


def test_landmarks_survive_saving() -> None:
    marks = Landmarks.of(np.ones(3, np.float32), np.eye(3))
    again = Landmarks.load(marks.save())
    assert again is not None
    rows = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert np.array_equal(again.outside(rows), marks.outside(rows))
    with pytest.raises(BundleError):
        Landmarks.load({**marks.save(), "landmarks.centre": np.ones(2, np.float32)})
    assert Landmarks.load({"weights": rows}) is None


def test_vectors_of_another_length_are_refused() -> None:
    dense, rows = Dense.of_texts("trunk:t", ("a",)), np.zeros((2, 3), np.float32)
    dense.check_width(rows, 3)
    with pytest.raises(BundleError, match="3 features") as caught:
        dense.check_width(rows, 4)
    assert (caught.value.where, caught.value.wanted) == ("trunk:t", "4")


def test_one_call_a_text_column_and_absent_texts_are_empty() -> None:
    dense = Dense.of_texts("trunk:t", ("a", "b"))
    calls = dense.calls([{"a": "x"}, {"b": "y"}])
    assert [(c.engine, list(c.items)) for c in calls] == [("trunk:t", ["x", ""]), ("trunk:t", ["", "y"])]
    assert texts_of([{"a": None}], "a") == [""]


@pytest.mark.parametrize("meta", [None, {}, {"engine": "e", "texts": "a"}, {"engine": "e", "texts": [1]}, {"parts": []},
    {"parts": ["ab"]}, {"parts": [["e", 1]]}])
def test_meta_is_checked(meta: object) -> None:
    with pytest.raises(BundleError):
        Dense.load(meta, {})


def test_what_was_saved_while_all_columns_were_texts_of_one_trunk_still_loads() -> None:
    assert Dense.load({"engine": "trunk:t", "texts": ["a", "b"]}, {}) == Dense.of_texts("trunk:t", ("a", "b"))


def test_each_column_goes_to_its_own_trunk_of_its_own_width() -> None:
    dense = Dense((Part("trunk:t", "a"), Part("trunk:i", "b")))
    assert Dense.load(*dense.save()) == dense
    assert [(c.engine, list(c.items)) for c in dense.calls([{"a": "x", "b": "y"}])] == [("trunk:t", ["x"]), ("trunk:i", ["y"])]
    assert dense.pooled([np.zeros((1, 2)), np.ones((1, 3))]).tolist() == [[0, 0, 1, 1, 1]]
    assert dense.fits(5, None)
    assert not Dense.of_texts("trunk:t", ("a", "b")).fits(5, None)
