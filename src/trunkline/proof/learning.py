"""What would 1,000 more rows bring? A power law through the learning curve, with a band."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trunkline.types import CurvePoint, Estimate

Array = NDArray[np.float64]
EXPONENTS = np.linspace(0.05, 1.5, 59)
SEED_DRAWS = 400


def extrapolate(
    points: Sequence[CurvePoint], more: Sequence[int] = (1_000,), seed: int = 0
) -> list[CurvePoint]:
    """The figure at the largest measured size plus `more` rows each; [] under three measured sizes.

    Fits value = a + b * rows^-c (Hestness et al. 2017; c on a grid, a and b by least squares
    weighted by the intervals). The band comes from refits to curves redrawn within the intervals
    of the points, 2.5 % to 97.5 %. It assumes more rows of the same kind, and is a forecast, not a
    measurement.
    """
    measured = sorted((p for p in points if _usable(p)), key=lambda p: p.rows)
    if len({p.rows for p in measured}) < 3:
        return []
    rows = np.array([p.rows for p in measured], np.float64)
    values = np.array([p.value.value for p in measured])
    spread = np.array([(p.value.high - p.value.low) / 3.92 for p in measured])
    spread = np.maximum(spread, 1e-6 + 0.01 * float(np.ptp(values)))
    ahead = np.array([rows[-1] + step for step in more])
    rng = np.random.default_rng(seed)
    curves = np.vstack([values, values + rng.standard_normal((SEED_DRAWS, len(values))) * spread])
    predicted = _fit(rows, curves, spread, ahead)
    out = []
    for at, row in enumerate(ahead):
        middle = float(predicted[0, at])
        low, high = np.quantile(predicted[1:, at], [0.025, 0.975])
        estimate = Estimate(middle, min(middle, float(low)), max(middle, float(high)), measured[-1].value.n)
        out.append(CurvePoint(int(row), estimate, extrapolated=True))
    return out


def _usable(point: CurvePoint) -> bool:
    finite = all(math.isfinite(x) for x in (point.value.value, point.value.low, point.value.high))
    return finite and point.rows > 0 and not point.extrapolated


def _fit(rows: Array, curves: Array, spread: Array, ahead: Array) -> Array:
    """(curves, ahead) forecasts, each curve with its best exponent."""
    best = np.full(len(curves), np.inf)
    out = np.zeros((len(curves), len(ahead)))
    scale = rows.max()
    for c in EXPONENTS:
        design = np.stack([np.ones_like(rows), (rows / scale) ** -c], axis=1) / spread[:, None]
        solution = np.linalg.lstsq(design, (curves / spread).T, rcond=None)[0]
        error = ((design @ solution - (curves / spread).T) ** 2).sum(axis=0)
        better = error < best
        forecast = (np.stack([np.ones_like(ahead), (ahead / scale) ** -c], axis=1) @ solution).T
        out[better], best[better] = forecast[better], error[better]
    return out
