"""What prototype and knn share: heads of known points, and the choice of one number out of fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from trunkline.heads.neighbours import NeighboursHead
from trunkline.heads.rowwise import unit_rows
from trunkline.methods.dense_rows import TRUNK_KINDS, DenseRows, refuse_dense
from trunkline.methods.table_target import Answers
from trunkline.spec import Spec
from trunkline.tasks.common import judgeable
from trunkline.types import Folds, Prediction, Refused

SHARPNESS = (20.0, 40.0, 10.0, 80.0)  # the first where no row can tell them apart
FLOOR = 1e-12

C = TypeVar("C")


@dataclass(frozen=True)
class Known:
    """points (m, d), what they say: targets float32 (m, k)."""

    points: NDArray[Any]
    targets: NDArray[np.float32]


def refuse_neighbours(spec: Spec, method: str) -> Refused | None:
    """Distances mean nothing between vectors and table columns side by side: no table columns."""
    other = sorted(set(spec.inputs.values()) - set(TRUNK_KINDS))
    if other:
        return Refused("cannot", f"{method} reads {' and '.join(TRUNK_KINDS)} columns only, not {', '.join(other)}")
    return refuse_dense(spec, method)


def known_prior(answers: Answers, labels: int) -> NDArray[np.float32]:
    """Smoothed share of each class or label, float32 (k,); the mean of a number, (1,)."""
    values, n = answers.values, len(answers.values)
    if answers.link == "identity":
        return np.array([values.mean() if n else 0.0], np.float32)
    if answers.link == "labels":
        return np.asarray((values.sum(axis=0) + 0.5) / (n + 1), np.float32)
    counts = np.bincount(values, minlength=labels) + 0.5
    return np.asarray(counts / counts.sum(), np.float32)


def head_of(
    rows: DenseRows, known: Known, prior: NDArray[np.float32], nearest: int, sharpness: float, number: bool = False
) -> NeighboursHead:
    points = np.rint(unit_rows(known.points) * 127).astype(np.int8)
    nearest = min(nearest, len(points))
    return NeighboursHead(
        rows.dense, rows.origin, points, known.targets, prior, nearest=nearest, sharpness=sharpness, number=number
    )


def choose(
    rows: DenseRows,
    answers: Answers,
    folds: Folds,
    head: Callable[[NDArray[np.int64], C], NeighboursHead],
    grid: Sequence[C],
) -> tuple[C, Prediction]:
    """The setting of least out-of-fold loss with its predictions; `head` learns from rows at an index."""
    found: list[Prediction] = []
    for setting in grid:
        parts = []
        for fold in np.unique(folds):
            held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            parts.append((held, head(rest, setting).of(rows.pooled[held])))
        values = np.empty((len(folds), *parts[0][1].values.shape[1:]))
        outside = np.empty(len(folds), np.float32)
        for held, part in parts:
            values[held], outside[held] = part.values, part.outside
        found.append(Prediction(values, outside))
    losses = [_loss(answers, prediction.values) for prediction in found]
    best = int(np.argmin(losses))
    return grid[best], found[best]


def _loss(answers: Answers, values: NDArray[Any]) -> float:
    """Mean log loss, or squared error, over the rows that can tell settings apart."""
    if answers.link == "identity":
        return float(np.mean((values - answers.values) ** 2))
    if answers.link == "labels":
        right = np.where(answers.values == 1, values, 1 - values)
    else:
        right = values[np.arange(len(values)), answers.values]
        right = right[judgeable(answers.values)]
    return float(-np.log(np.maximum(right, FLOOR)).mean()) if right.size else 0.0
