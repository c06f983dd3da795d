"""How two models' scores are weighed against each other, out of fold: stacking (Wolpert 1992) with weights >= 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import MissingExtra
from trunkline.methods.table_target import Answers, loss_of
from trunkline.tasks.common import judgeable
from trunkline.types import Folds

PULL = 2.0
START = (0.7, 0.7)  # the loss is convex
SHARES = 41  # of the first model where the two sum to 1

Weights = tuple[float, float]


def weigh(first: NDArray[np.float64], second: NDArray[np.float64], answers: Answers, untold: Weights) -> Weights:
    """Weights >= 0 of least loss for two scores (n, k); together they also set the temperature. For numbers
    they sum to 1.

    A weak pull towards `untold` decides where rows are too few to tell (it is worth PULL rows): out of
    fold, two rows a class are one, and saying nothing can seem best. Raises MissingExtra.
    """
    try:
        from scipy.optimize import minimize
    except ImportError:
        raise MissingExtra("scipy", "heads") from None

    fair = np.flatnonzero(judgeable(answers.values))
    if not len(fair):
        return untold
    first, second, answers = first[fair], second[fair], answers.take(fair)

    def loss(shares: NDArray[np.float64]) -> float:
        return loss_of(answers, shares[0] * first + shares[1] * second)

    def pulled(shares: NDArray[np.float64]) -> float:
        return loss(shares) + PULL / len(fair) * float(((shares - untold) ** 2).sum())

    if answers.link == "identity":
        best = min(np.linspace(0, 1, SHARES), key=lambda share: loss(np.array([share, 1 - share])))
        return float(best), float(1 - best)
    found = minimize(pulled, START, bounds=[(0.0, 20.0)] * 2)
    return float(found.x[0]), float(found.x[1])


def held_out(
    first: NDArray[np.float64], second: NDArray[np.float64], answers: Answers, folds: Folds, untold: Weights
) -> NDArray[np.float64]:
    """The weighed scores (n, k), each fold's by weights that the other folds chose: weights judged on the
    rows that chose them would be no worse than either model by construction."""
    out = np.empty_like(first)
    for fold in np.unique(folds):
        rest, held = np.flatnonzero(folds != fold), folds == fold
        a, b = weigh(first[rest], second[rest], answers.take(rest), untold)
        out[held] = a * first[held] + b * second[held]
    return out
