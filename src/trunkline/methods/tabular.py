"""The method `tabular`: a regularised linear model over table columns, straight or bent by splines."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from trunkline.columns import TABLE_KINDS, ColumnEncoder
from trunkline.errors import MissingExtra, TrainError
from trunkline.heads.links import apply_link
from trunkline.heads.rowwise import multiply_rows
from trunkline.heads.table_linear import TableLinearHead
from trunkline.methods.settings import read_settings
from trunkline.methods.table_target import Answers, answers_of, loss_of
from trunkline.methods.tunable import Searched
from trunkline.spec import Range, Ranges, Spec
from trunkline.types import Ask, Candidate, Examples, Folds, Prediction, Refused

RANGES: Ranges = {"C": Range(0.01, 10.0, log=True), "knots": [0, 4, 8, 16]}
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)  # scikit-learn's C; ridge uses 1 / C on standardised targets
KNOTS = (0, 8)
SELECT_ROWS = 8000  # more rows tell settings apart no better, only slower
NEWTON_SIZE = 1000  # weights up to which a Hessian is cheap
GRADIENT_STEPS = 10_000  # of L-BFGS, more than it needs
ABSENT = -30.0  # score of a class that a fold's training rows lack


class TabularSettings(msgspec.Struct, frozen=True):
    """None = chosen by out-of-fold loss."""

    C: Annotated[float, Meta(gt=0)] | None = None
    knots: Annotated[int, Meta(ge=0, le=64)] | None = None


@dataclass(frozen=True)
class Linear:
    """weights (features, k), bias (k,)."""

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def scores(self, features: NDArray[Any]) -> NDArray[np.float64]:
        return multiply_rows(features, self.weights) + self.bias


class Tabular:
    """Logistic regression (classify, multilabel) or ridge (regress) on ColumnEncoder features."""

    name: ClassVar[str] = "tabular"

    def check(self, spec: Spec) -> None:
        read_settings(spec, self.name, TabularSettings)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        other = sorted({kind for kind in spec.inputs.values() if kind not in TABLE_KINDS})
        if other:
            return Refused(
                "cannot", f"tabular reads {', '.join(TABLE_KINDS)} columns, not {', '.join(other)}"
            )
        return None

    def searched(self, spec: Spec) -> Searched:
        return Searched(TabularSettings, RANGES)

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Raises MissingExtra, SpecError (settings), TrainError (the head is over its budget)."""
        settings = read_settings(spec, self.name, TabularSettings)
        answers = answers_of(spec, examples)
        part = _subset(len(examples), spec.seed)
        trial = _Trial(spec, examples.take(part), folds[part], answers.take(part))
        knots, strength = _choose(trial, settings)
        whole = _Trial(spec, examples, folds, answers)
        out_of_fold = apply_link(answers.link, whole.out_of_fold(knots, strength))
        encoder, features = whole.features(knots)
        fitted = fit_linear(features, answers, strength)
        head = TableLinearHead(encoder, fitted.weights, fitted.bias, answers.link)
        _within_budget(head, spec)
        return Candidate(head, Prediction(out_of_fold), {"C": strength, "knots": knots})


class _Trial:
    """Out-of-fold scores of settings; features are made once for each number of knots.

    The encoder learns scales and vocabulary (never targets) from all rows.
    """

    def __init__(self, spec: Spec, examples: Examples, folds: Folds, answers: Answers) -> None:
        self._spec, self._examples, self._folds, self.answers = spec, examples, folds, answers
        self._made: dict[int, tuple[ColumnEncoder, NDArray[np.float64]]] = {}

    def features(self, knots: int) -> tuple[ColumnEncoder, NDArray[np.float64]]:
        if knots not in self._made:
            encoder = ColumnEncoder.fit(self._spec.inputs, self._examples.inputs, knots)
            self._made[knots] = encoder, encoder.transform(self._examples.inputs).astype(np.float64)
        return self._made[knots]

    def out_of_fold(self, knots: int, strength: float) -> NDArray[np.float64]:
        """float64 (n, k)."""
        _, features = self.features(knots)
        scores = np.empty((len(features), self.answers.outputs))
        for fold in np.unique(self._folds):
            held = self._folds == fold
            fitted = fit_linear(features[~held], self.answers.take(np.flatnonzero(~held)), strength)
            scores[held] = fitted.scores(features[held])
        return scores

    def loss(self, knots: int, strength: float) -> float:
        return loss_of(self.answers, self.out_of_fold(knots, strength))


def _choose(trial: _Trial, settings: TabularSettings) -> tuple[int, float]:
    """Knots at the middle strength first, then the strength: a quarter of the grid's cost."""
    knots = settings.knots
    if knots is None:
        middle = settings.C or STRENGTHS[len(STRENGTHS) // 2]
        knots = min(KNOTS, key=lambda count: trial.loss(count, middle))
    at = knots
    return knots, settings.C or min(STRENGTHS, key=lambda strength: trial.loss(at, strength))


def _subset(n: int, seed: int) -> NDArray[np.int64]:
    if n <= SELECT_ROWS:
        return np.arange(n, dtype=np.int64)
    return np.sort(np.random.default_rng(seed).choice(n, SELECT_ROWS, replace=False)).astype(np.int64)


def fit_linear(features: NDArray[np.float64], answers: Answers, strength: float) -> Linear:
    """The linear model of `answers.link` with penalty 1 / strength. Raises MissingExtra."""
    if answers.link == "identity":
        return _ridge(features, answers.values, strength)
    fit = _logistic_fitter(strength)
    if answers.link == "labels":
        columns = [_two_class(fit, features, column) for column in answers.values.T]
        return Linear(np.hstack([c.weights for c in columns]), np.concatenate([c.bias for c in columns]))
    if answers.link == "logistic":
        return _two_class(fit, features, answers.values)
    return _many_class(fit, features, answers)


Fitter = Callable[[NDArray[np.float64], NDArray[Any]], Any]


def _logistic_fitter(strength: float) -> Fitter:
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise MissingExtra("scikit-learn", "heads") from None

    def fit(features: NDArray[np.float64], target: NDArray[Any]) -> Any:
        classes = len(np.unique(target))
        if features.shape[1] * (1 if classes == 2 else classes) <= NEWTON_SIZE:
            with warnings.catch_warnings():
                warnings.simplefilter("error", ConvergenceWarning)
                try:
                    return LogisticRegression(C=strength, solver="newton-cholesky").fit(features, target)
                except ConvergenceWarning:  # a Newton step led nowhere, as it may with a handful of rows
                    return by_gradient(features, target)
        return by_gradient(features, target)

    def by_gradient(features: NDArray[np.float64], target: NDArray[Any]) -> Any:
        return LogisticRegression(C=strength, solver="lbfgs", max_iter=GRADIENT_STEPS).fit(features, target)

    return fit


def _two_class(fit: Fitter, features: NDArray[np.float64], target: NDArray[Any]) -> Linear:
    positive = int(target.sum())
    if positive in (0, len(target)):  # one value only: its smoothed log odds, whatever the row
        odds = (positive + 0.5) / (len(target) - positive + 0.5)
        return Linear(np.zeros((features.shape[1], 1)), np.array([np.log(odds)]))
    model = fit(features, target.astype(np.int64))
    return Linear(model.coef_.T.copy(), model.intercept_.copy())


def _many_class(fit: Fitter, features: NDArray[np.float64], answers: Answers) -> Linear:
    weights = np.zeros((features.shape[1], answers.outputs))
    bias = np.full(answers.outputs, ABSENT)
    present = np.unique(answers.values)
    if len(present) == 1:
        bias[present] = 0
    elif len(present) == 2:  # scikit-learn then gives one score, the difference
        model = fit(features, answers.values)
        weights[:, present[1]], bias[present[0]], bias[present[1]] = model.coef_[0], 0, model.intercept_[0]
    else:
        model = fit(features, answers.values)
        weights[:, present], bias[present] = model.coef_.T, model.intercept_
    return Linear(weights, bias)


def _ridge(features: NDArray[np.float64], target: NDArray[Any], strength: float) -> Linear:
    """Ridge regression by its normal equations, intercept unpenalised."""
    spread = float(target.std()) or 1.0
    mean, middle = features.mean(axis=0), float(target.mean())
    centred = features - mean
    gram = centred.T @ centred + np.eye(features.shape[1]) / strength
    weights = np.linalg.solve(gram, centred.T @ ((target - middle) / spread)) * spread
    return Linear(weights[:, None], np.array([middle - mean @ weights]))


def _within_budget(head: TableLinearHead, spec: Spec) -> None:
    size = sum(array.nbytes for array in head.save()[1].values())
    if size > spec.method.head_mb * 1e6:
        raise TrainError(
            "the tabular head is larger than its budget",
            where="method.head_mb",
            found=f"{size / 1e6:.2f} MB of weights",
            wanted=f"at most {spec.method.head_mb} MB",
            hint="raise head_mb, or leave out category columns with many values",
        )
