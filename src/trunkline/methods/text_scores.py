"""A text column as few numbers for trees: ridge scores of its pooled vectors, out-of-fold for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.heads.trees import TextScores
from trunkline.methods.table_target import Answers
from trunkline.types import Folds

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # times the mean eigenvalue of the vectors' scatter matrix


@dataclass(frozen=True)
class _Ridge:
    """Normal equations of rows in one eigenbasis: every penalty is one product away."""

    mean: NDArray[np.float64]
    middle: NDArray[np.float64]
    values: NDArray[np.float64]
    vectors: NDArray[np.float64]
    projected: NDArray[np.float64]

    @classmethod
    def of(cls, pooled: NDArray[np.float64], wanted: NDArray[np.float64]) -> _Ridge:
        mean, middle = pooled.mean(axis=0), wanted.mean(axis=0)
        centred = pooled - mean
        values, vectors = np.linalg.eigh(centred.T @ centred)
        return cls(mean, middle, values, vectors, vectors.T @ (centred.T @ (wanted - middle)))

    def weights(self, penalty: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(dim, k), (k,)."""
        level = penalty * max(float(self.values.mean()), 1e-12)
        weights = self.vectors @ (self.projected / (np.maximum(self.values, 0) + level)[:, None])
        return weights, self.middle - self.mean @ weights


def learn_text_scores(
    column: str, engine: str, pooled: NDArray[Any], answers: Answers, folds: Folds
) -> tuple[TextScores, NDArray[np.float64]]:
    """(the map learned from all rows, its out-of-fold scores float64 (n, k) for the training rows).

    Stacked generalisation (Wolpert 1992): trees that saw scores of rows the map was fitted on would
    trust them too much. The penalty is chosen by squared error out of fold.
    """
    vectors, wanted = pooled.astype(np.float64), _wanted(answers)
    scores = np.empty((len(PENALTIES), *wanted.shape))
    for fold in np.unique(folds):
        held = folds == fold
        ridge = _Ridge.of(vectors[~held], wanted[~held])
        for i, penalty in enumerate(PENALTIES):
            weights, bias = ridge.weights(penalty)
            scores[i, held] = vectors[held] @ weights + bias
    best = int(((scores - wanted) ** 2).mean(axis=(1, 2)).argmin())
    weights, bias = _Ridge.of(vectors, wanted).weights(PENALTIES[best])
    return TextScores(column, engine, weights.astype(np.float32), bias), scores[best]


def _wanted(answers: Answers) -> NDArray[np.float64]:
    """Targets as (n, k) numbers: one-hot for classes."""
    if answers.link == "softmax":
        return np.asarray(np.eye(answers.outputs)[answers.values], np.float64)
    return np.asarray(answers.values.reshape(len(answers.values), -1), np.float64)
