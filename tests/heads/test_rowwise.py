from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.heads.rowwise import (
    array_of,
    multiply_each,
    multiply_rows,
    multiply_sparse,
    prefixed,
    quantise,
    unit_rows,
)
from trunkline.lexical import SparseRows

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 400), st.integers(1, 90), st.integers(0, 2**20))
PRECISIONS = st.sampled_from(((np.float32, np.float32), (np.float32, np.float64), (np.float64, np.float64)))


@given(SHAPES, PRECISIONS)
def test_a_row_gives_the_same_bits_alone_and_in_any_batch(
    shape: tuple[int, int, int, int], precisions: tuple[type, type]
) -> None:
    n, d, k, seed = shape
    rng = np.random.default_rng(seed)
    rows: NDArray[Any] = rng.normal(size=(n, d)).astype(precisions[0])
    weights: NDArray[Any] = rng.normal(size=(d, k)).astype(precisions[1])
    together = multiply_rows(rows, weights)
    for i in range(n):
        assert multiply_rows(rows[i : i + 1], weights).tobytes() == together[i : i + 1].tobytes()
    shuffled = rng.permutation(n)
    assert multiply_rows(rows[shuffled], weights).tobytes() == together[shuffled].tobytes()
    close = 1e-3 if precisions[1] is np.float32 else 1e-10
    assert together.dtype == precisions[1]
    np.testing.assert_allclose(together, rows.astype(np.float64) @ weights, rtol=close, atol=close)


def test_unit_rows() -> None:
    found = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    assert found.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0.0, 0.0]]


def test_quantise_keeps_each_column_to_half_a_step() -> None:
    weights = np.random.default_rng(0).normal(size=(50, 3)) * [1, 100, 0]
    small, scale = quantise(weights, axis=0)
    assert small.dtype == np.int8
    assert (np.abs(small * scale - weights) <= scale / 2 + 1e-6).all()


def test_arrays_are_checked() -> None:
    good = np.ones((2, 2), np.float32)
    assert array_of({"a": good}, "a", np.float32, 2) is good
    for wrong in ({}, {"a": good[0]}, {"a": good.astype(np.float64)}, {"a": good * np.nan}):
        with pytest.raises(BundleError):
            array_of(wrong, "a", np.float32, 2)
    assert prefixed({"x.a": good, "xa": good}, "x") == {"a": good}


@given(SHAPES, st.integers(1, 5), st.booleans())
def test_many_weights_at_once_give_the_bits_of_each(shape: tuple[int, int, int, int], count: int, shared: bool) -> None:
    n, d, k, seed = shape
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(1 if shared else count, n, d)).astype(np.float32)
    weights = [rng.normal(size=(d, k)).astype(np.float32) for _ in range(count)]
    out = np.full((count, n, k), np.nan, np.float32)
    multiply_each(rows, weights, out)
    for i, weight in enumerate(weights):
        assert out[i].tobytes() == multiply_rows(rows[0 if shared else i], weight).tobytes()


@given(st.integers(1, 4), st.integers(0, 5), st.sampled_from((1, 2, 77)), st.sampled_from((np.int8, np.float32)), st.integers(0, 2**20))
def test_sparse_rows_by_many_weights(count: int, n: int, k: int, kind: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    held = rng.integers(0, 30, count * n)
    rows = SparseRows(
        np.concatenate([[0], np.cumsum(held)]).astype(np.int64),
        rng.integers(0, 50, held.sum()), rng.random(held.sum()).astype(np.float32),
    )  # fmt: skip
    weights: list[NDArray[Any]] = [rng.integers(-127, 128, (50, k)).astype(kind) for _ in range(count)]
    out = multiply_sparse(rows, weights)
    for i in range(count * n):
        columns, values = rows.row(i)
        wanted = values @ weights[i // n][columns].astype(np.float32) if len(columns) else np.zeros(k, np.float32)
        assert out[i].tobytes() == wanted.tobytes()
