"""What all figures share: means over weighted rows, and one answer shape for both ways of asking."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Weights: TypeAlias = "NDArray[np.floating[Any]] | None"
Figure: TypeAlias = Any  # float without weights, Array (draws,) with weights


def given(weights: Weights, n: int) -> Array:
    """The weights, or one draw in which every row counts once: (draws, n)."""
    return np.ones((1, n)) if weights is None else np.asarray(weights, np.float64)


def answer(figures: Array, weights: Weights) -> Figure:
    return float(figures[0]) if weights is None else figures


def ratio(above: Array, below: Array) -> Array:
    """above / below, nan where below is 0."""
    out = np.full(np.broadcast(above, below).shape, np.nan)
    np.divide(above, below, out=out, where=np.asarray(below) != 0)
    return out


def mean_of(rows: Array, weights: Weights) -> Figure:
    """Weighted mean of (n,) rows; nan for no rows."""
    w = given(weights, len(rows))
    return answer(ratio(w @ np.asarray(rows, np.float64), w.sum(axis=1)), weights)


def mean_of_known(figures: Array) -> Array:
    """Mean over the last axis of the entries that are not nan; nan where none is known."""
    known = ~np.isnan(figures)
    return ratio(np.where(known, figures, 0.0).sum(axis=-1), known.sum(axis=-1).astype(np.float64))


def undefined(weights: Weights) -> Figure:
    return float("nan") if weights is None else np.full(len(weights), np.nan)
