"""Figures of the answers themselves: which label was said, and was it right?

target: int (n,) label indices; values: (n, C) probabilities. `costs` (C, C) changes which label is
said: the cheapest in expectation instead of the most probable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import SpecError, nearest
from trunkline.metrics.weighting import (
    Array,
    Figure,
    Ints,
    Weights,
    answer,
    given,
    mean_of,
    mean_of_known,
    ratio,
    undefined,
)


def cost_matrix(labels: Sequence[str], costs: Mapping[str, Mapping[str, float]]) -> Array:
    """(C, C) price of answering column where row is true: unnamed mistakes 1, right answers 0.

    Raises SpecError for a label that is not among `labels`.
    """
    place = {label: i for i, label in enumerate(labels)}
    matrix = 1.0 - np.eye(len(labels))
    for truth, row in costs.items():
        for said, price in row.items():
            for label in (truth, said):
                if label not in place:
                    raise SpecError(
                        "a cost names an unknown label",
                        where="proof.costs",
                        found=repr(label),
                        hint=nearest(label, labels),
                    )
            matrix[place[truth], place[said]] = price
    return matrix


def decide(values: NDArray[Any], costs: Array | None = None) -> Ints:
    """(n,) labels said: most probable, or of least expected cost (Elkan 2001); ties to the first."""
    if costs is None:
        return np.asarray(np.argmax(values, axis=1), np.int64)
    return np.asarray(np.argmin(np.asarray(values, np.float64) @ costs, axis=1), np.int64)


def accuracy_rows(target: Ints, values: NDArray[Any], costs: Array | None = None) -> Array:
    """(n,) 1 where the answer is right, 0 where wrong, nan where the values hold a NaN."""
    hits = np.asarray(decide(values, costs) == target, np.float64)
    hits[np.isnan(values).any(axis=1)] = np.nan
    return hits


def accuracy(
    target: Ints, values: NDArray[Any], costs: Array | None = None, weights: Weights = None
) -> Figure:
    """Share of right answers."""
    return mean_of(accuracy_rows(target, values, costs), weights)


def cost_rows(target: Ints, values: NDArray[Any], costs: Array) -> Array:
    """(n,) price paid for each answer, answers chosen to minimise the expected price."""
    paid = costs[target, decide(values, costs)].astype(np.float64)
    paid[np.isnan(values).any(axis=1)] = np.nan
    return paid


def expected_cost(target: Ints, values: NDArray[Any], costs: Array, weights: Weights = None) -> Figure:
    """Mean price paid for an answer, in units of `costs`."""
    return mean_of(cost_rows(target, values, costs), weights)


def confusion(target: Ints, said: Ints, classes: int) -> Ints:
    """(C, C) counts: row = true label, column = label said."""
    cells = np.bincount(target * classes + said, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def f1_of(hits: Array, said: Array, true: Array) -> Array:
    """F1 from counts; nan where a label is neither true nor said anywhere."""
    return ratio(2 * hits, said + true)


def per_class(target: Ints, said: Ints, classes: int) -> dict[str, Array]:
    """precision, recall, f1 (nan where undefined), support and said (counts), each (C,)."""
    cells = confusion(target, said, classes).astype(np.float64)
    hits, true, answered = np.diag(cells), cells.sum(axis=1), cells.sum(axis=0)
    return {
        "precision": ratio(hits, answered),
        "recall": ratio(hits, true),
        "f1": f1_of(hits, answered, true),
        "support": true,
        "said": answered,
    }


def macro_f1(
    target: Ints, values: NDArray[Any], costs: Array | None = None, weights: Weights = None
) -> Figure:
    """Unweighted mean F1 over the labels that are true or said at least once (as scikit-learn)."""
    if np.isnan(values).any():
        return undefined(weights)
    said, names = decide(values, costs), np.arange(values.shape[1])
    true_hot = (target[:, None] == names).astype(np.float64)
    said_hot = (said[:, None] == names).astype(np.float64)
    w = given(weights, len(target))
    f1 = f1_of(w @ (true_hot * said_hot), w @ said_hot, w @ true_hot)
    return answer(mean_of_known(f1), weights)
