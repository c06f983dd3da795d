"""Figures of the probabilities: are they worth what they say?

target: int (n,) label indices; values: (n, C) probabilities.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.metrics.weighting import Array, Figure, Ints, Weights, answer, given, mean_of, ratio, undefined

EPSILON = float(np.finfo(np.float64).eps)


def log_loss_rows(target: Ints, values: NDArray[Any]) -> Array:
    """(n,) -ln of the probability given to the true label, kept from infinity by the float's epsilon."""
    p = np.asarray(values, np.float64)[np.arange(len(target)), target]
    rows: Array = -np.log(np.clip(p, EPSILON, 1 - EPSILON))
    return rows


def log_loss(target: Ints, values: NDArray[Any], weights: Weights = None) -> Figure:
    """Mean negative log likelihood, in nats."""
    return mean_of(log_loss_rows(target, values), weights)


def equal_mass_bins(confidence: NDArray[Any], bins: int) -> Ints:
    """(n,) bin of each row, as equal in rows as ties allow: equal confidences share a bin, so the
    order of the rows never matters."""
    edges = np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, confidence, side="right").astype(np.int64)


def calibration_error(target: Ints, values: NDArray[Any], bins: int = 15, weights: Weights = None) -> Figure:
    """Expected calibration error of the top label: mean |confidence - share right| over the bins.

    Guo et al. 2017 (top-label ECE) with equal-mass bins after Nixon et al. 2019. Binned estimates
    lean upward for small n. Bins stay those of the full rows under weights.
    """
    if np.isnan(values).any() or not len(target):
        return undefined(weights)
    confidence = np.max(np.asarray(values, np.float64), axis=1)
    right = (np.argmax(values, axis=1) == target).astype(np.float64)
    hot = (equal_mass_bins(confidence, bins)[:, None] == np.arange(bins)).astype(np.float64)
    w = given(weights, len(target))
    gap = np.abs(w @ (hot * (confidence - right)[:, None])).sum(axis=1)
    return answer(ratio(gap, w.sum(axis=1)), weights)
