"""Figures for numbers. target and values: float (n,), in the target's own unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.metrics.weighting import Array, Figure, Weights, answer, given, mean_of, ratio


def absolute_error_rows(target: NDArray[Any], values: NDArray[Any]) -> Array:
    """(n,) |target - value|."""
    return np.asarray(np.abs(np.asarray(target, np.float64) - values))


def mae(target: NDArray[Any], values: NDArray[Any], weights: Weights = None) -> Figure:
    """Mean absolute error."""
    return mean_of(absolute_error_rows(target, values), weights)


def rmse(target: NDArray[Any], values: NDArray[Any], weights: Weights = None) -> Figure:
    """Root of the mean squared error."""
    squares = (np.asarray(target, np.float64) - values) ** 2
    return answer(np.sqrt(np.atleast_1d(mean_of(squares, weights))), weights)


def r2(target: NDArray[Any], values: NDArray[Any], weights: Weights = None) -> Figure:
    """1 - squared error / variance of the target; nan where the target never varies."""
    y = np.asarray(target, np.float64)
    w = given(weights, len(y))
    centred = y - y.mean() if len(y) else y  # the shift cancels; it keeps large targets precise
    total = w.sum(axis=1)
    spread = w @ centred**2 - ratio((w @ centred) ** 2, total)
    spread[spread <= 1e-12 * np.maximum(w @ y**2, 1e-300)] = 0.0
    return answer(1 - ratio(w @ (y - values) ** 2, spread), weights)


def coverage_rows(target: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> Array:
    """(n,) 1 where the target lies within [low, high]; nan where a bound is nan."""
    rows = ((low <= target) & (target <= high)).astype(np.float64)
    rows[np.isnan(low) | np.isnan(high)] = np.nan
    return rows


def interval_coverage(
    target: NDArray[Any], low: NDArray[Any], high: NDArray[Any], weights: Weights = None
) -> Figure:
    """Share of targets within their own [low, high]."""
    return mean_of(coverage_rows(target, low, high), weights)
