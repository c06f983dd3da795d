"""Out-of-fold scores of linear models, and the penalty they choose. Folds share the compute pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.threads import run_all
from trunkline.heads.links import apply_link
from trunkline.methods.solve import Fitted, Matrix, Weights, fit_linear
from trunkline.methods.table_target import Answers, loss_of
from trunkline.tasks.common import judgeable
from trunkline.types import Folds

ONE_FOLD = 100_000  # rows x scores: from here on one held-out fold tells penalties apart well enough
MANY = 500_000  # rows x scores
NO_FOLD = -1
TEMPERATURES = np.geomspace(0.4, 2.5, 9)


Trust = Callable[[Matrix, Answers], Weights]  # (d,) how much each feature may weigh, about 1


@dataclass(frozen=True)
class CrossFit:
    """A linear model of all rows, with scores float32 (n, k) from models that hadn't seen the row."""

    fitted: Fitted
    out_of_fold: Weights
    penalty: float

    def values(self, link: str) -> NDArray[np.float64]:
        return apply_link(link, self.out_of_fold.astype(np.float64))


def cross_fit(
    x: Matrix, answers: Answers, folds: Folds, penalties: Sequence[float], trust: Trust | None = None
) -> CrossFit:
    """Choose among `penalties` by out-of-fold loss at its best temperature (the temperature is
    chosen later, over all methods alike), then fit all rows. Deterministic. `trust` looks at the
    rows that are learned from, no others.
    """
    folds = fewer_folds(folds, answers.outputs)
    every = [int(fold) for fold in np.unique(folds)]
    judges = every if len(folds) * answers.outputs < ONE_FOLD else every[:1]
    known: dict[tuple[float, int], Weights] = {}
    best = penalties[0]
    if len(penalties) > 1:
        jobs = [(penalty, fold) for penalty in penalties for fold in judges]
        known.update(zip(jobs, run_all(lambda job: _held_out(x, answers, folds, trust, *job), jobs), strict=True))
        judged = np.isin(folds, judges) & judgeable(answers.values)
        losses = {p: cooled_loss(answers, _gather(known, p, judges, folds)[judged], judged) for p in penalties}
        best = min(penalties, key=lambda penalty: losses[penalty])
    rest = [fold for fold in every if (best, fold) not in known]
    whole, *found = run_all(lambda fold: _fit(x, answers, folds, trust, best, fold), [NO_FOLD, *rest])
    for fold, fitted in zip(rest, found, strict=True):
        known[best, fold] = fitted.scores(x[folds == fold])
    return CrossFit(whole, _gather(known, best, every, folds), best)


def fewer_folds(folds: Folds, outputs: int) -> Folds:
    """From MANY scores on, folds are put together to three: each model learns from fewer rows, so figures
    are a little too low rather than too high, in 3 fits' time instead of 5."""
    return folds % 3 if len(folds) * outputs >= MANY else folds


def _fit(
    x: Matrix, answers: Answers, folds: Folds, trust: Trust | None, penalty: float, fold: int
) -> Fitted:
    """Learned from the rows outside `fold`."""
    if fold != NO_FOLD:
        rest = np.flatnonzero(folds != fold)
        x, answers = x[rest], answers.take(rest)
    return fit_trusted(x, answers, penalty, trust)


def fit_trusted(x: Matrix, answers: Answers, penalty: float, trust: Trust | None) -> Fitted:
    """`fit_linear` with each feature weighed by `trust` first; the weights are those of x as it is."""
    if trust is None:
        return fit_linear(x, answers, penalty)
    weight = trust(x, answers)
    found = fit_linear(x.multiply(weight).tocsr(), answers, penalty)
    return Fitted(found.weights * weight[:, None], found.bias)


def _held_out(
    x: Matrix, answers: Answers, folds: Folds, trust: Trust | None, penalty: float, fold: int
) -> Weights:
    return _fit(x, answers, folds, trust, penalty, fold).scores(x[folds == fold])


def _gather(
    known: dict[tuple[float, int], Weights], penalty: float, folds_wanted: Sequence[int], folds: Folds
) -> Weights:
    """(n, k); rows of other folds are 0."""
    out = np.zeros((len(folds), known[penalty, folds_wanted[0]].shape[1]), np.float32)
    for fold in folds_wanted:
        out[folds == fold] = known[penalty, fold]
    return out


def cooled_loss(answers: Answers, scores: Weights, judged: NDArray[np.bool_]) -> float:
    """The loss of the judged rows' scores at their best temperature; judged: (n,) of `answers`."""
    if not judged.any():
        return 0.0
    part, wide = answers.take(np.flatnonzero(judged)), scores.astype(np.float64)
    if answers.link == "identity":
        return loss_of(part, wide)
    return min(loss_of(part, wide / t) for t in TEMPERATURES.tolist())
