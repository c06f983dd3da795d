"""How sure are we of a number, or of a difference? 95 % intervals, honest for small n.

Proportions by score methods (`proportion`), all else by the bootstrap: bias-corrected and
accelerated (Efron 1987), widened for few independent rows (Hesterberg 2015).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.metrics.wilson import wilson
from trunkline.proof.proportion import NORMAL, paired_proportions, proportion, t_quantile
from trunkline.proof.resample import Array, Resample, figures
from trunkline.types import Estimate, Floats, Metric


@dataclass(frozen=True)
class Drawn:
    """A metric on the rows, and what its interval is made of: hits for a proportion, else draws."""

    value: float
    n: int
    hits: Array | None = None  # (n,) of 0 and 1
    draws: Array | None = None
    left_out: Array | None = None
    floor: float = 0.0  # rows behind the metric where all draws agree; 0 = none (a plain number)


def estimate(
    metric: Metric,
    target: NDArray[Any],
    values: Floats,
    *,
    groups: Sequence[Any] | None = None,
    times: Sequence[float] | None = None,
    seed: int = 0,
) -> Estimate:
    """The metric with its 95 % interval over these rows; nan where they can't give it."""
    resample = Resample(len(target), groups, times, seed)
    return interval(draw(metric, target, values, resample), resample)


def paired(
    metric: Metric,
    target: NDArray[Any],
    values_a: Floats,
    values_b: Floats,
    *,
    groups: Sequence[Any] | None = None,
    times: Sequence[float] | None = None,
    seed: int = 0,
) -> Estimate:
    """The metric of a minus that of b on the same rows, with the 95 % interval of the difference."""
    resample = Resample(len(target), groups, times, seed)
    a, b = (draw(metric, target, v, resample) for v in (values_a, values_b))
    return difference(a, b, resample)


def draw(metric: Metric, target: NDArray[Any], values: Floats, resample: Resample) -> Drawn:
    """All draws of one metric; `interval` and `difference` share them."""
    n = len(target)
    if not n:
        return Drawn(math.nan, 0)
    value = float(metric.of(target, values))
    if not math.isfinite(value):
        return Drawn(math.nan, n)
    if metric.per_row is not None:
        rows = np.asarray(metric.per_row(target, values), np.float64)
        if ((rows == 0) | (rows == 1)).all():
            return Drawn(value, n, hits=rows)
    draws = resample.draws_for(values.shape[1] if values.ndim == 2 else 1)
    drawn = np.concatenate([figures(metric, target, values, w) for w in resample.weights(draws)])
    drawn = _redraw(metric, target, values, resample, drawn)
    left_out = figures(metric, target, values, resample.leave_out())
    return Drawn(value, n, draws=drawn, left_out=left_out, floor=_floor(target, resample))


def _redraw(metric: Metric, target: NDArray[Any], values: Floats, resample: Resample, drawn: Array) -> Array:
    """Draws that lost a class the metric needs are drawn again within the classes."""
    lost = np.isnan(drawn)
    if lost.any() and target.ndim == 1 and target.dtype.kind in "iub":
        drawn[lost] = figures(metric, target, values, resample.stratified(target, int(lost.sum())))
    return drawn


def _floor(target: NDArray[Any], resample: Resample) -> float:
    """Rows that bear the figure: the rarest class present, or the independent units if fewer."""
    if target.dtype.kind == "f":
        return 0.0
    if target.dtype == object:
        return float(resample.independent)
    rarest = target.shape[0] if target.ndim == 2 else int(np.unique(target, return_counts=True)[1].min())
    return float(min(rarest, resample.independent))


def interval(drawn: Drawn, resample: Resample) -> Estimate:
    if drawn.hits is not None:
        return proportion(drawn.hits, resample.units)
    if drawn.draws is None or drawn.left_out is None:
        return Estimate(math.nan, math.nan, math.nan, drawn.n)
    low, high = _bca(drawn.value, drawn.draws, drawn.left_out, resample.independent)
    if drawn.floor and drawn.value in (0.0, 1.0):  # all draws agree: they say nothing of doubt
        wide = wilson(drawn.value, drawn.floor)
        low, high = min(low, wide[0]), max(high, wide[1])
    return Estimate(drawn.value, low, high, drawn.n)


def difference(a: Drawn, b: Drawn, resample: Resample) -> Estimate:
    """a - b, drawn together."""
    if a.hits is not None and b.hits is not None:
        return paired_proportions(a.hits, b.hits, resample.units)
    if a.hits is not None or b.hits is not None:
        a, b = _as_draws(a, resample), _as_draws(b, resample)
    if a.draws is None or b.draws is None or a.left_out is None or b.left_out is None:
        return Estimate(math.nan, math.nan, math.nan, a.n)
    count = min(len(a.draws), len(b.draws))
    draws, left_out = a.draws[:count] - b.draws[:count], a.left_out - b.left_out
    value = a.value - b.value
    return Estimate(value, *_bca(value, draws, left_out, resample.independent), a.n)


def _as_draws(drawn: Drawn, resample: Resample) -> Drawn:
    """Hits as draws: one side of a difference may happen to be a proportion (no cost paid at all)."""
    if drawn.hits is None:
        return drawn
    hits = drawn.hits
    draws = np.concatenate([w @ hits / w.sum(axis=1) for w in resample.weights(resample.draws_for(1))])
    left = resample.leave_out()
    return Drawn(drawn.value, drawn.n, draws=draws, left_out=left @ hits / left.sum(axis=1))


def _bca(value: float, draws: Array, left_out: Array, independent: int) -> tuple[float, float]:
    """Bias-corrected accelerated limits, at tails for which n - 1 squares and Student's t allow."""
    draws = np.sort(draws[np.isfinite(draws)])
    if len(draws) < 2 or independent < 2:
        return math.nan, math.nan
    if draws[0] == draws[-1]:
        return min(value, float(draws[0])), max(value, float(draws[-1]))
    tail = t_quantile(independent - 1) * math.sqrt(independent / (independent - 1))
    share = ((draws < value).mean() + (draws <= value).mean()) / 2
    bias = NORMAL.inv_cdf(min(1 - 0.5 / len(draws), max(0.5 / len(draws), float(share))))
    acceleration = _acceleration(left_out)
    limits = []
    for z in (-tail, tail):
        shifted = bias + z
        at = bias + shifted / max(0.1, 1 - acceleration * shifted)
        limits.append(float(np.quantile(draws, NORMAL.cdf(at))))
    return min(value, limits[0]), max(value, limits[1])


def _acceleration(left_out: Array) -> float:
    known = left_out[np.isfinite(left_out)]
    gaps = known.mean() - known if len(known) else known
    squares = float((gaps**2).sum())
    return float((gaps**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0
