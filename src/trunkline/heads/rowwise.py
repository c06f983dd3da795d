"""Matrix products whose every row is a function of that row alone, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, repeat
from operator import sub
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.lexical import SparseRows

Matrix = NDArray[np.float32]
Real = TypeVar("Real", np.float32, np.float64)


def multiply_rows(rows: NDArray[Any], weights: NDArray[Real]) -> NDArray[Real]:
    """(n, k) = rows (n, d) times weights (d, k), computed in the weights' own precision; see `multiply_each`."""
    out: NDArray[Real] = np.empty((len(rows), weights.shape[1]), weights.dtype)
    multiply_each(rows[None], [np.ascontiguousarray(weights)], out[None])
    return out


def multiply_each(rows: NDArray[Any], weights: Iterable[NDArray[Real]], out: NDArray[Real]) -> None:
    """Fill `out` (p, n, k): rows (p, n, d), or (1, n, d) for all p, times each of p weights (d, k).

    As one-row products: numpy then calls BLAS once a row with the same shapes, whatever n and p are.
    One product of the whole batch would let BLAS pick its kernel, and so the order of additions, by
    the number of rows. The weights stay where they are: a copy of 100 heads side by side would be as
    large as they are, and 20 % faster at best. About 4 microseconds a row for 384 x 77 in float32.
    """
    single = np.ascontiguousarray(rows, out.dtype)[:, :, None, :]
    parts = single if len(single) == len(out) else repeat(single[0], len(out))
    for part, weight, place in zip(parts, weights, out[:, :, None, :], strict=True):
        np.matmul(part, weight, out=place)


def multiply_sparse(rows: SparseRows, weights: Sequence[NDArray[Any]]) -> Matrix:
    """float32 (n, k): the first n / p sparse rows (n, features) times the first of p weights (features, k) of any
    number type, the next ones times the second."""
    share = len(rows) // len(weights)
    out = np.zeros((len(rows), weights[0].shape[1]), np.float32)
    ends = rows.indptr.tolist()
    most = max(map(sub, ends[1:], ends), default=0)
    narrow, wide = np.empty((most, out.shape[1]), weights[0].dtype), np.empty((most, out.shape[1]), np.float32)
    for i, (start, stop) in enumerate(pairwise(ends)):
        if held := stop - start:
            # "clip" writes straight into its output; columns lie inside
            weights[i // share].take(rows.columns[start:stop], 0, narrow[:held], "clip")
            wide[:held] = narrow[:held]
            np.matmul(rows.values[start:stop], wide[:held], out=out[i])
    return out


def side_by_side(vectors: Sequence[Matrix]) -> Matrix:
    """(p, 1, k) of p vectors (k,)."""
    whole = vectors[0] if len(vectors) == 1 else np.concatenate(vectors)
    return whole.reshape(len(vectors), 1, -1)


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
