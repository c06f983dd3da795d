"""Heads whose scores are sums over the parts of a row: each part's own summand, exactly.

n-grams: a gram's summand is shared among its occurrences, an occurrence's among the signs it covers. Table columns: the
score with the column's cell less that with a typical one. Trees: SHAP values. A blend adds what its parts say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from trunkline.explain.ngrams import ngram_scores
from trunkline.explain.parts import Cells, Part, Parts, Texts
from trunkline.explain.subject import Target
from trunkline.explain.tree_shap import Paths
from trunkline.heads.blend import BlendHead
from trunkline.heads.linear import LinearHead
from trunkline.heads.rowwise import multiply_rows
from trunkline.heads.table_linear import TableLinearHead
from trunkline.heads.trees import TreesHead
from trunkline.types import Decision, Head, Prediction

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class _Known:
    of: Paths | None


_paths: WeakKeyDictionary[TreesHead, _Known] = WeakKeyDictionary()  # reading them out of the trees takes a while


@dataclass(frozen=True)
class Sum:
    """A row's k scores as `base` (k,) and each part's summand (k,), before `link`."""

    link: str
    base: Scores
    summands: Mapping[Part, Scores]

    def weights(self, target: Target, finished: Prediction, decision: Decision) -> tuple[float | None, dict[Part, float]]:
        """(what the weights begin from, weight of each part) in the target's unit; they add up to the figure exactly but
        for `softmax`, where they are of first order: by the gradient of the log odds in the scores (base None)."""
        direction = self._direction(target, finished.values[:1]) / decision.temperature
        weights = {part: float(direction @ summand) for part, summand in self.summands.items()}
        return (None if self.link == "softmax" else float(direction @ self.base)), weights

    def _direction(self, target: Target, values: NDArray[Any]) -> Scores:
        """(k,) gradient of the target's figure in the scores."""
        if self.link == "identity":
            return np.ones(1)
        if self.link == "logistic":
            return np.array([1.0 if target.index else -1.0])
        own: Scores = np.eye(len(self.base))[target.index]
        if self.link == "labels":
            return own
        others = np.where(own > 0, 0, values[0])
        return np.asarray(own - others / max(float(others.sum()), 1e-12))


def sum_of(head: Head, parts: Parts) -> Sum | None:
    """None for a head whose scores are no such sum."""
    if isinstance(head, LinearHead) and head.lexical and not head.dense:
        return _ngrams(head, parts)
    if isinstance(head, TableLinearHead):
        return _table(head, parts)
    if isinstance(head, TreesHead) and not head.texts:
        return _trees(head, parts)
    if isinstance(head, BlendHead):
        return _blend(head, parts)
    return None


def _ngrams(head: LinearHead, parts: Parts) -> Sum | None:
    assert head.lexical is not None
    texts = {column: one for column, one in parts.columns.items() if isinstance(one, Texts)}
    found = ngram_scores(head.lexical, parts.row, texts)
    return None if found is None else Sum(head.link, head.bias.astype(np.float64), found)


def _table(head: TableLinearHead, parts: Parts) -> Sum:
    columns = [Part(column, "column") for column, one in parts.columns.items() if isinstance(one, Cells)]
    rows = [parts.row, *(parts.without([part]) for part in columns), parts.without(columns)]
    scores = multiply_rows(head.encoder.transform(rows), head.weights) + head.bias
    return Sum(head.link, scores[-1], dict(zip(columns, scores[0] - scores[1:-1], strict=True)))


def _trees(head: TreesHead, parts: Parts) -> Sum | None:
    paths = _paths.get(head)
    if paths is None:
        paths = _paths[head] = _Known(Paths.of(head.trees))
    if paths.of is None:
        return None
    columns = [column.name for column in head.reader.columns]
    values = paths.of.values(head.forest, head.reader.read([parts.row])[0], len(columns))
    summands = {Part(column, "column"): values[i] for i, column in enumerate(columns)}
    return Sum(head.link, paths.of.base(head.outputs), summands)


def _blend(head: BlendHead, parts: Parts) -> Sum | None:
    sums = [sum_of(part, parts) for part in head.parts]
    known = [one for one in sums if one is not None and one.link == head.link]
    if len(known) < len(sums):
        return None
    base = sum(w * one.base for w, one in zip(head.weights, known, strict=True))
    every = dict.fromkeys(part for one in known for part in one.summands)
    nothing = np.zeros(len(known[0].base))
    summands = {part: sum(w * one.summands.get(part, nothing) for w, one in zip(head.weights, known, strict=True)) for part in every}
    return Sum(head.link, np.asarray(base), {part: np.asarray(summand) for part, summand in summands.items()})
