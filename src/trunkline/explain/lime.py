"""LIME (Ribeiro, Singh & Guestrin 2016): a linear model of the product about one row.

Neighbours are the row without some of its parts, drawn uniformly, of a number drawn uniformly. They count by an
exponential kernel of their distance. Of a ridge regression of the answer's probability on which parts are there, the
heaviest parts are kept and fitted again: the paper's "highest weights" in place of K-Lasso.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trunkline.explain.occlusion import Weighed
from trunkline.explain.parts import Part, Parts
from trunkline.explain.subject import Subject, Target
from trunkline.types import Prediction, Steps

ROWS = 200  # neighbours unless told otherwise
WIDTH = 0.25  # of the kernel, in cosine distance: the authors' own code's, 25 of 100
RIDGE = 1.0  # likewise
KEPT = 10  # parts of the model that is told
SEED = 0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """weighed: parts in and out of the model, these with 0. base: the model's figure without any part. agreement: R² of
    the model on its neighbours, by their weights."""

    weighed: list[Weighed]
    base: float
    agreement: float
    rows: int


def lime(subject: Subject, parts: Parts, target: Target, whole: Prediction, most: int, keep: int = KEPT) -> Steps[Fit]:
    """whole: of the row itself. most: neighbours. Asked all at once; the same row is explained the same each time."""
    every = [one for part in parts.first(most) for one in parts.single(part)]
    there = neighbours(len(every), most)
    rows = [parts.without([part for part, stays in zip(every, one.tolist(), strict=True) if not stays]) for one in there]
    finished = yield from subject.run(rows)
    told = target.probabilities if target.unit == "log_odds" else target.figures
    figures = np.r_[told(whole)[:1], told(finished)]
    present = np.r_[np.ones((1, len(every))), there]
    return _fitted(every, present, figures, keep)


def neighbours(parts: int, count: int) -> NDArray[np.bool_]:
    """bool (count, parts): which parts a neighbour keeps; at least one is gone."""
    rng = np.random.default_rng(SEED)
    there = np.ones((count, parts), bool)
    for row in there:
        row[rng.permutation(parts)[: rng.integers(1, parts + 1)]] = False
    return there


def kernel(there: Floats) -> Floats:
    """(n,) by the cosine distance to the row with all its parts."""
    distance = 1 - np.sqrt(there.mean(axis=1))
    return np.asarray(np.sqrt(np.exp(-((distance / WIDTH) ** 2))))


def _fitted(every: list[Part], there: Floats, figures: Floats, keep: int) -> Fit:
    weights = kernel(there)
    first, _ = ridge(there, figures, weights)
    kept = np.sort(np.argsort(-np.abs(first), kind="stable")[:keep])
    slopes, base = ridge(there[:, kept], figures, weights)
    said = there[:, kept] @ slopes + base
    centre = np.average(figures, weights=weights)
    spread = np.average((figures - centre) ** 2, weights=weights)
    agreement = 1 - np.average((figures - said) ** 2, weights=weights) / spread if spread > 0 else 1.0
    found = np.zeros(len(every))
    found[kept] = slopes
    return Fit([Weighed(part, weight) for part, weight in zip(every, found.tolist(), strict=True)], base, float(agreement), len(there) - 1)


def ridge(there: Floats, figures: Floats, weights: Floats) -> tuple[Floats, float]:
    """(slopes, intercept) of weighed least squares, the slopes' squares at RIDGE."""
    share = weights / weights.sum()
    means, centre = share @ there, float(share @ figures)
    x, y = there - means, figures - centre
    slopes = np.linalg.solve((x * weights[:, None]).T @ x + RIDGE * np.eye(x.shape[1]), (x * weights[:, None]).T @ y)
    return slopes, centre - float(means @ slopes)
