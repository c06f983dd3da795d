"""Matrix products whose every row is a function of that row alone, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.lexical import SparseRows

Matrix = NDArray[np.float32]
Real = TypeVar("Real", np.float32, np.float64)


def multiply_rows(rows: NDArray[Any], weights: NDArray[Real]) -> NDArray[Real]:
    """(n, k) = rows (n, d) times weights (d, k), computed in the weights' own precision.

    As a stack of one-row products: numpy then calls BLAS once a row with the same shapes, whatever
    n is. One product of the whole batch would let BLAS pick its kernel, and so the order of
    additions, by the number of rows. About 4 microseconds a row for 384 x 77 in float32.
    """
    stacked = np.ascontiguousarray(rows, weights.dtype)[:, None, :]
    return np.asarray(np.matmul(stacked, np.ascontiguousarray(weights))[:, 0, :])


def multiply_sparse(rows: SparseRows, weights: NDArray[Any]) -> Matrix:
    """float32 (n, k) = sparse rows (n, features) times weights (features, k) of any number type."""
    out = np.zeros((len(rows), weights.shape[1]), np.float32)
    for i in range(len(rows)):
        columns, values = rows.row(i)
        if len(columns):
            out[i] = values @ weights[columns].astype(np.float32)
    return out


def unit_rows(rows: NDArray[Any]) -> Matrix:
    """Rows divided by their Euclidean lengths; a zero row stays zero."""
    wide = np.ascontiguousarray(rows, np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    return np.asarray(wide / np.maximum(lengths, 1e-12), np.float32)


def quantise(weights: NDArray[Any], axis: int) -> tuple[NDArray[np.int8], Matrix]:
    """(int8, float32 scale along the other axis): weights are about int8 * scale."""
    scale = np.abs(weights).max(axis=axis, initial=0.0, keepdims=True) / 127
    steps = np.rint(weights / np.where(scale > 0, scale, 1))
    return steps.astype(np.int8), np.asarray(scale.ravel(), np.float32)


def array_of(arrays: Mapping[str, NDArray[Any]], name: str, dtype: Any, ndim: int) -> NDArray[Any]:
    """A saved array of that type and number of axes, all finite. Raises BundleError."""
    array = arrays.get(name)
    if array is None or array.dtype != np.dtype(dtype) or array.ndim != ndim or not np.isfinite(array).all():
        raise BundleError(
            f"a head's array {name!r} can't be used",
            found="nothing" if array is None else f"{array.dtype} {array.shape}",
            wanted=f"{np.dtype(dtype)} with {ndim} axes, finite",
        )
    return array


def prefixed(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The arrays called `prefix.*`, without the prefix."""
    start = f"{prefix}."
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
