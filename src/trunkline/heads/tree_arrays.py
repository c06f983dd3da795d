"""Decision trees as arrays: scored with numpy alone, equal to LightGBM's own raw scores bit for bit.

Follows LightGBM's Tree::NumericalDecision and Tree::CategoricalDecision (include/LightGBM/tree.h) and
GBDT::PredictRaw, which adds tree after tree in float64.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.types import Arrays

CATEGORICAL, DEFAULT_LEFT = 1, 2  # bits of a node's `decision`, as LightGBM packs them
MISSING_ZERO, MISSING_NAN = 1, 2  # (decision >> 2) & 3; 0 = NaN is read as 0
ZERO = float(np.float32(1e-35))  # LightGBM's kZeroThreshold: what counts as zero
MAX_WORDS = 64  # of a bit set: 2,048 codes, so that a crafted head can't ask for much memory
CELLS = 1 << 20  # rows x nodes decided at once


@dataclass(frozen=True)
class TreeArrays:
    """All trees of a model, nodes and leaves one tree after the other.

    nodes (trees,) inner nodes a tree (leaves = nodes + 1); output (trees,) the score a tree adds to;
    feature, threshold, decision, left, right: (inner nodes,); a child >= 0 is an inner node of the
    same tree, else leaf ~child; leaf (leaves,) float64; a categorical node's threshold is the number
    k of its bit set `bits[bounds[k]:bounds[k + 1]]` (uint32): the codes that go left; count (leaves,)
    the training rows in each leaf, above 0, None in heads that were saved without.
    """

    nodes: NDArray[Any]
    output: NDArray[Any]
    feature: NDArray[Any]
    threshold: NDArray[np.float64]
    decision: NDArray[np.uint8]
    left: NDArray[Any]
    right: NDArray[Any]
    leaf: NDArray[np.float64]
    bits: NDArray[np.uint32]
    bounds: NDArray[Any]
    count: NDArray[Any] | None = None

    def save(self) -> Arrays:
        """The arrays by name, integers in 16 bits where they fit."""
        return {name: _narrow(array) for name, array in vars(self).items() if array is not None}

    @classmethod
    def load(cls, arrays: Arrays, columns: int, outputs: int) -> Self:
        """Raises BundleError where arrays are missing or don't fit each other, `columns` or `outputs`."""
        try:
            named = [field.name for field in fields(cls) if field.name != "count"]
            trees = cls(**{name: arrays[name] for name in named}, count=arrays.get("count"))
        except KeyError as error:
            raise BundleError("a tree head lacks an array", found=str(error)) from None
        _check(trees, columns, outputs)
        return trees


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind != "i":
        return array
    fits = not array.size or (array.min() >= -(2**15) and array.max() < 2**15)
    return array.astype(np.int16 if fits else np.int32)


def _check(trees: TreeArrays, columns: int, outputs: int) -> None:
    count = len(trees.nodes)
    if not (_shaped(trees, count) and _valued(trees, columns, outputs)):
        raise BundleError("a tree head's arrays don't fit each other", found=f"{count} trees")
    nodes = trees.nodes.astype(np.int64)
    tree = np.repeat(np.arange(count), nodes)
    own = np.arange(len(tree)) - (np.cumsum(nodes) - nodes)[tree]
    for child in (trees.left.astype(np.int64), trees.right.astype(np.int64)):
        # a child lies behind its parent: no walk can turn in a circle
        if not ((child < nodes[tree]) & (~child <= nodes[tree]) & ((child < 0) | (child > own))).all():
            raise BundleError("a tree head's nodes point outside their tree")


def _shaped(trees: TreeArrays, count: int) -> bool:
    whole = (trees.nodes, trees.output, trees.feature, trees.left, trees.right, trees.bounds)
    if any(array.ndim != 1 or array.dtype.kind != "i" for array in whole) or not _within(
        trees.nodes, 0, 2**31
    ):
        return False
    total = int(trees.nodes.sum())
    inner = (trees.feature, trees.threshold, trees.decision, trees.left, trees.right)
    return (
        all(array.shape == (total,) for array in inner)
        and trees.output.shape == (count,)
        and (trees.count is None or (trees.count.shape == trees.leaf.shape and trees.count.dtype.kind == "i"))
        and trees.leaf.shape == (total + count,)
        and all(array.dtype == np.float64 for array in (trees.threshold, trees.leaf))
        and trees.decision.dtype == np.uint8
        and trees.bits.dtype == np.uint32
        and len(trees.bounds) > 0
    )


def _valued(trees: TreeArrays, columns: int, outputs: int) -> bool:
    sets = trees.threshold[(trees.decision & CATEGORICAL) > 0]
    return (
        _within(trees.output, 0, outputs)
        and (trees.count is None or _within(trees.count, 1, 2**31))
        and _within(trees.feature, 0, columns)
        and bool(np.isfinite(trees.leaf).all() and not np.isnan(trees.threshold).any())
        and (int(trees.bounds[0]), int(trees.bounds[-1])) == (0, len(trees.bits))
        and _within(np.diff(trees.bounds.astype(np.int64)), 0, MAX_WORDS + 1)
        and _within(sets, 0, len(trees.bounds) - 1)
    )


def _within(array: NDArray[Any], low: int, high: int) -> bool:
    return not array.size or bool(array.min() >= low and array.max() < high)


class Forest:
    """TreeArrays laid out for scoring. Every inner node is decided at once, then the walk down is one
    lookup a level: few numpy calls, so one row is as cheap as its trees, and a row's score is its own."""

    def __init__(self, trees: TreeArrays, outputs: int) -> None:
        self.outputs = outputs
        total = int(trees.nodes.sum())
        nodes = trees.nodes.astype(np.int64)
        tree = np.repeat(np.arange(len(nodes)), nodes)
        node_start = np.cumsum(nodes) - nodes
        leaf_start = total + node_start + np.arange(len(nodes))
        # one numbering: inner nodes, then leaves, which lead to themselves
        self._left = _targets(trees.left, node_start[tree], leaf_start[tree])
        self._right = _targets(trees.right, node_start[tree], leaf_start[tree])
        self._leaves = np.arange(total, total + len(trees.leaf))
        self._root = np.where(nodes > 0, node_start, leaf_start)
        self._value = np.concatenate([np.zeros(total), trees.leaf])
        self._feature, self._threshold = trees.feature.astype(np.intp), trees.threshold
        missing = (trees.decision >> 2) & 3
        self._default_left = (trees.decision & DEFAULT_LEFT) > 0
        self._nan, self._zero = missing == MISSING_NAN, missing == MISSING_ZERO
        self._has_zero = bool(self._zero.any())
        self._categorical = np.flatnonzero(trees.decision & CATEGORICAL)
        self._sets = _code_sets(trees, self._categorical)
        self._depth = self._measure()
        order = np.argsort(trees.output, kind="stable")
        self._groups = np.split(order, np.searchsorted(trees.output[order], np.arange(1, outputs)))

    def _measure(self) -> int:
        """Levels of the deepest tree."""
        depth, inner = 0, len(self._left)
        level = self._root[self._root < inner]
        while level.size:
            depth += 1
            below = np.unique(np.concatenate([self._left[level], self._right[level]]))
            level = below[below < inner]
        return depth

    def goes_left(self, raw: NDArray[np.float64]) -> NDArray[np.bool_]:
        """bool (n, inner nodes) of float64 rows (n, columns)."""
        return self._decide(_read(raw))

    def score(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 (n, outputs) raw scores of float64 rows (n, columns)."""
        raw = _read(raw)
        out = np.zeros((len(raw), self.outputs))
        step = max(1, CELLS // max(len(self._left), len(self._root), 1))
        for start in range(0, len(raw), step):
            self._score(raw[start : start + step], out[start : start + step])
        return out

    def _score(self, raw: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        n = len(raw)
        inner = np.where(self._decide(raw), self._left, self._right)
        following = np.concatenate([inner, np.broadcast_to(self._leaves, (n, len(self._leaves)))], axis=1)
        at = np.broadcast_to(self._root, (n, len(self._root)))
        rows = np.arange(n)[:, None]
        for _ in range(self._depth):
            at = following[rows, at]
        values = self._value[at]
        for output, trees in enumerate(self._groups):
            if len(trees):
                # cumsum adds in order, one after the other, as LightGBM does; sum() would pair
                out[:, output] = np.cumsum(values[:, trees], axis=1)[:, -1]

    def _decide(self, raw: NDArray[np.float64]) -> NDArray[np.bool_]:
        """bool (n, inner nodes): does the row go left?"""
        cells = raw[:, self._feature]
        absent = np.isnan(cells)
        some = absent.any()
        left = (np.where(absent, 0.0, cells) if some else cells) <= self._threshold
        if some:
            left = np.where(absent & self._nan, self._default_left, left)
        if self._has_zero:
            zero = (cells == 0) | absent
            left = np.where(zero & self._zero, self._default_left, left)
        if len(self._categorical):
            codes = cells[:, self._categorical]
            width = self._sets.shape[1] - 1
            known = (codes > -1) & (codes < width)  # NaN, negative and unknown codes go right
            places = np.where(known, codes, width).astype(np.intp)
            left[:, self._categorical] = self._sets[np.arange(len(self._categorical)), places]
        return left


def _read(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(raw) <= ZERO, 0.0, raw)  # LightGBM leaves such cells out of a row


def _targets(child: NDArray[Any], node_start: NDArray[Any], leaf_start: NDArray[Any]) -> NDArray[np.intp]:
    child = child.astype(np.intp)
    return np.asarray(np.where(child >= 0, child + node_start, ~child + leaf_start), np.intp)


def _code_sets(trees: TreeArrays, nodes: NDArray[Any]) -> NDArray[np.bool_]:
    """bool (categorical nodes, codes + 1): which codes go left; the last column, for all others, is False."""
    numbers = trees.threshold[nodes].astype(np.int64)
    bounds = trees.bounds.astype(np.int64)
    widths = np.diff(bounds)
    sets = np.zeros((len(nodes), 32 * int(widths.max(initial=0)) + 1), bool)
    for i, k in enumerate(numbers):
        words = trees.bits[bounds[k] : bounds[k + 1]].astype("<u4")
        sets[i, : 32 * len(words)] = np.unpackbits(words.view(np.uint8), bitorder="little")
    return sets
