"""Penalised linear models, dense or sparse, by L-BFGS in a space where all directions bend alike.

scikit-learn's solvers would do; the change of variables is what makes 10,000 rows, 77 classes and
10,000 n-grams a matter of 15 steps instead of 50 (benchmarks/head_training.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trunkline.methods.lbfgs import Problem, minimise
from trunkline.methods.table_target import Answers

Matrix: TypeAlias = Any  # float32 ndarray (n, d), or scipy.sparse CSR of it
Weights: TypeAlias = NDArray[np.float32]

STEPS = 40
TOLERANCE = 3e-3  # of the objective, a step: beyond it no out-of-fold figure moves (measured)
FINE, FEW = 1e-4, 100_000  # where rows x scores are few, converging costs nothing and leaves nothing to chance
WIDE = 1_024  # features over which the eigenvectors of all directions would take seconds
CURVATURE = 0.1  # of a probability's variance at the optimum, as a share of 1 / classes


@dataclass(frozen=True)
class Fitted:
    """weights float32 (d, k), bias (k,)."""

    weights: Weights
    bias: Weights

    def scores(self, x: Matrix) -> Weights:
        return np.asarray(x @ self.weights + self.bias, np.float32)


def fit_linear(x: Matrix, answers: Answers, penalty: float) -> Fitted:
    """Minimise the summed loss of `answers.link` plus penalty / 2 * |weights|^2; bias unpenalised.

    Loss: log loss (softmax, or a logistic one a label), or half squared error of the standardised
    target (identity).
    """
    middle, spread = _standard(answers)
    space = _space(x, penalty, _curvature(answers))
    problem = Problem(
        forward=lambda v: space.forward(v[:-1]) + v[-1],
        backward=lambda slope: np.vstack([space.backward(slope), slope.sum(axis=0)]),
        loss=_loss(answers, middle, spread),
        pull=np.vstack([penalty * space.squares, np.zeros((1, 1), np.float32)]),
    )
    start = np.zeros((len(space.squares) + 1, answers.outputs), np.float32)
    start[-1] = _start(answers)
    few = len(answers.values) * answers.outputs < FEW
    v = minimise(problem, start, STEPS, min(FINE, TOLERANCE) if few else TOLERANCE)
    weights = space.back(v[:-1]) * np.float32(spread)
    bias = v[-1] * spread + middle - space.centre @ weights
    return Fitted(weights, bias.astype(np.float32))


@dataclass(frozen=True)
class _Space:
    """Weights are written as `back(v)`; features lose `centre` first."""

    centre: Weights
    squares: Weights  # |back(v)|^2 = sum of squares * v^2
    forward: Callable[[Weights], Weights]
    backward: Callable[[Weights], Weights]
    back: Callable[[Weights], Weights]


def _space(x: Matrix, penalty: float, curvature: float) -> _Space:
    """Dense: the eigenvectors of the covariance, scaled (Newton's step for a loss of equal
    curvature everywhere; Boehning 1992). Sparse: each feature scaled by its own curvature."""
    centre = np.asarray(x.mean(axis=0), np.float32).ravel()
    if isinstance(x, np.ndarray):
        centred = x - centre
        values, vectors = _directions(centred)
        squares = 1 / (curvature * np.maximum(values, 0) + penalty)
        turn = (vectors * np.sqrt(squares)).astype(np.float32)
        turned = centred @ turn
        across = np.ascontiguousarray(turned.T)
        return _Space(
            centre,
            squares.astype(np.float32)[:, None],
            lambda v: turned @ v,
            lambda slope: across @ slope,
            lambda v: turn @ v,
        )
    energy = np.asarray(x.multiply(x).sum(axis=0), np.float64).ravel()
    squares = (1 / (curvature * energy + penalty)).astype(np.float32)[:, None]
    scale = np.sqrt(squares)
    across = x.T.tocsr()

    def forward(v: Weights) -> Weights:
        weights = scale * v
        return np.asarray(x @ weights - centre @ weights)

    def backward(slope: Weights) -> Weights:
        return np.asarray(scale * (across @ slope - np.outer(centre, slope.sum(axis=0))))

    return _Space(centre, squares, forward, backward, lambda v: scale * v)


def _directions(centred: Weights) -> tuple[NDArray[Any], NDArray[Any]]:
    """float64 (r,) eigenvalues of the covariance of centred (n, d), (d, r) their vectors. r = d; where few rows stand
    in a wide space, only those directions in which rows differ at all, found from row to row: the others get no weight."""
    if len(centred) >= centred.shape[1] or centred.shape[1] <= WIDE:
        values, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))
        return values, vectors
    rows = centred.astype(np.float64)
    values, across = np.linalg.eigh(rows @ rows.T)
    held = values > 1e-10 * max(float(values[-1]), 1e-30)
    return values[held], rows.T @ (across[:, held] / np.sqrt(values[held]))


def _curvature(answers: Answers) -> float:
    return 1.0 if answers.link == "identity" else CURVATURE / max(2, answers.outputs)


def _standard(answers: Answers) -> tuple[float, float]:
    if answers.link != "identity":
        return 0.0, 1.0
    return float(answers.values.mean()), float(answers.values.std()) or 1.0


def _start(answers: Answers) -> NDArray[np.float64]:
    """The bias that says the smoothed shares of the labels; 0 for a standardised number."""
    n = len(answers.values)
    if answers.link == "identity":
        return np.zeros(1)
    if answers.link == "softmax":
        return np.log((np.bincount(answers.values, minlength=answers.outputs) + 0.5) / n)
    share = (answers.values.reshape(n, -1).sum(axis=0) + 0.5) / (n + 1)
    return np.asarray(np.log(share / (1 - share)))


Loss: TypeAlias = Callable[[Weights], tuple[float, Weights]]


def _loss(answers: Answers, middle: float, spread: float) -> Loss:
    """scores (n, k) -> (summed loss, its slope by the scores)."""
    n = len(answers.values)
    if answers.link == "softmax":
        return _softmax_loss(answers.values)
    wanted = ((answers.values.reshape(n, -1) - middle) / spread).astype(np.float32)
    return _squared_loss(wanted) if answers.link == "identity" else _logistic_loss(wanted)


def _softmax_loss(target: NDArray[Any]) -> Loss:
    rows = np.arange(len(target))

    def loss(scores: Weights) -> tuple[float, Weights]:
        scores = scores - scores.max(axis=1, keepdims=True)
        slope = np.exp(scores)
        total = slope.sum(axis=1, keepdims=True)
        value = float((np.log(total[:, 0]) - scores[rows, target]).sum(dtype=np.float64))
        slope /= total
        slope[rows, target] -= 1
        return value, slope

    return loss


def _logistic_loss(wanted: Weights) -> Loss:
    def loss(scores: Weights) -> tuple[float, Weights]:
        value = float((np.logaddexp(0, scores) - wanted * scores).sum(dtype=np.float64))
        return value, np.asarray(1 / (1 + np.exp(-np.clip(scores, -60, 60))) - wanted, np.float32)

    return loss


def _squared_loss(wanted: Weights) -> Loss:
    def loss(scores: Weights) -> tuple[float, Weights]:
        gap = scores - wanted
        return float((gap * gap).sum(dtype=np.float64)) / 2, gap

    return loss
