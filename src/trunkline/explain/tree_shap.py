"""SHAP values of trees, exactly and by numpy alone: those of Lundberg, Erion & Lee 2018 (path-dependent TreeSHAP).

A column that is not in the coalition goes both ways at its nodes, in the shares of the training rows. A leaf's value
then stands in a game that is a product over the columns of its path: z (share of rows that stay on the path) without the
column, o (1 or 0: does the row itself stay?) with it. The Shapley value of such a game is

    leaf * (o_i - z_i) * integral over t in [0, 1] of the product over j != i of (z_j (1 - t) + o_j t)

and the integrand is a polynomial of a degree below the number of columns, for which Gauss-Legendre points are exact. So
all leaves and columns are summed at once (cf. Yu et al. 2022, Linear TreeShap).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from trunkline.heads.tree_arrays import Forest, TreeArrays
from trunkline.types import Ints

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Paths:
    """Every pair of a leaf and a column of its path. leaf (pairs,), ascending; column (pairs,); share (pairs,) of the
    training rows that stay on the path at the column's nodes; step_* (steps,): the nodes of the pairs, those of a pair
    together from first[pair] on, and whether the path goes left there."""

    leaf: Ints
    column: Ints
    share: Scores
    first: Ints
    step_node: Ints
    step_left: NDArray[np.bool_]
    value: Scores  # (leaves,)
    output: Ints  # (leaves,)
    count: Ints  # (leaves,) of training rows
    total: Ints  # (leaves,) of its tree

    @classmethod
    def of(cls, trees: TreeArrays) -> Self | None:
        """None for trees that were saved without the counts of their leaves."""
        if trees.count is None:
            return None
        steps = _steps(trees)
        tree = np.repeat(np.arange(len(trees.nodes)), trees.nodes.astype(np.int64) + 1)
        count = trees.count.astype(np.int64)
        total = np.bincount(tree, count).astype(np.int64)[tree]
        leaf, column, node, left, share = (np.array(part) for part in (zip(*steps, strict=True) if steps else ([], [], [], [], [])))
        order = np.lexsort((column, leaf))
        leaf, column = leaf[order].astype(np.int64), column[order].astype(np.int64)
        new = np.ones(len(leaf), bool)
        new[1:] = (leaf[1:] != leaf[:-1]) | (column[1:] != column[:-1])
        first = np.flatnonzero(new)
        shares = np.multiply.reduceat(share[order].astype(np.float64), first) if len(first) else np.zeros(0)
        return cls(
            leaf[first], column[first], shares, first, node[order].astype(np.int64), left[order].astype(bool),
            trees.leaf.astype(np.float64), trees.output.astype(np.int64)[tree], count, total,
        )  # fmt: skip

    def base(self, outputs: int) -> Scores:
        """(outputs,) the mean score of the training rows."""
        return np.asarray(np.bincount(self.output, self.value * self.count / self.total, outputs), np.float64)

    def values(self, forest: Forest, row: Scores, columns: int) -> Scores:
        """(columns, outputs): with `base` they add up to the row's score. row: (columns,), as the forest reads it."""
        outputs, found = forest.outputs, np.zeros((columns, forest.outputs))
        if not len(self.leaf):
            return found
        goes_left = forest.goes_left(row[None])[0]
        stays = np.logical_and.reduceat(goes_left[self.step_node] == self.step_left, self.first).astype(np.float64)
        begins = np.flatnonzero(np.r_[True, self.leaf[1:] != self.leaf[:-1]])
        sizes = np.diff(np.r_[begins, len(self.leaf)])
        points, weights = np.polynomial.legendre.leggauss((int(sizes.max()) + 1) // 2)
        integral = np.zeros(len(self.leaf))
        for t, weight in zip((points + 1) / 2, weights / 2, strict=True):
            terms = self.share * (1 - t) + stays * t
            integral += weight * np.multiply.reduceat(terms, begins).repeat(sizes) / terms
        pushed = self.value[self.leaf] * (stays - self.share) * integral
        np.add.at(found.reshape(-1), self.column * outputs + self.output[self.leaf], pushed)
        return found


Step = tuple[int, int, int, bool, float]  # leaf, column, node, left, share of the node's rows that go this way


def _steps(trees: TreeArrays) -> list[Step]:
    """Every step of every path from a root to a leaf."""
    assert trees.count is not None
    nodes = trees.nodes.astype(np.int64).tolist()
    feature, left, right, count = (array.tolist() for array in (trees.feature, trees.left, trees.right, trees.count))
    found: list[Step] = []
    node, leaf = 0, 0
    for size in nodes:
        rows = _rows(left[node : node + size], right[node : node + size], count[leaf : leaf + size + 1])
        path: list[tuple[int, bool, float]] = []

        def walk(at: int, path: list[tuple[int, bool, float]], node: int = node, leaf: int = leaf, rows: dict[int, int] = rows) -> None:
            if at < 0:
                found.extend((leaf + ~at, feature[inner], inner, goes, share) for inner, goes, share in path)
                return
            inner = node + at
            for goes, child in ((True, left[inner]), (False, right[inner])):
                walk(child, [*path, (inner, goes, rows[child] / rows[at])])

        if size:
            walk(0, path)
        node, leaf = node + size, leaf + size + 1
    return found


def _rows(left: list[int], right: list[int], count: list[int]) -> dict[int, int]:
    """Child -> training rows in it: nodes as their numbers, leaf i as ~i. A child lies behind its parent."""
    rows = {~i: n for i, n in enumerate(count)}
    for at in range(len(left) - 1, -1, -1):
        rows[at] = rows[left[at]] + rows[right[at]]
    return rows
