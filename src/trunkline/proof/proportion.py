"""Intervals of proportions and of paired differences of proportions, by score methods.

They hold for small n and at the edges: 20 right of 20 is (0.84, 1), not (1, 1). Where rows hang
together (groups, time) n is replaced by the effective sample size, as in Korn & Graubard 1998.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from trunkline.metrics.wilson import Z, wilson
from trunkline.types import Estimate

NORMAL = NormalDist()
Array = NDArray[np.float64]


def t_quantile(df: int, p: float = 0.975) -> float:
    """Quantile of Student's t: exact for 1 and 2 degrees of freedom, else Cornish-Fisher
    (Abramowitz & Stegun 26.7.5; 0.2 % off at df = 3, less above)."""
    if df <= 1:
        return math.tan(math.pi * (p - 0.5))
    if df == 2:
        return (2 * p - 1) * math.sqrt(2 / (4 * p * (1 - p)))
    z = NORMAL.inv_cdf(p)
    higher: float = sum(
        term / df**power
        for power, term in (
            (1, (z**3 + z) / 4),
            (2, (5 * z**5 + 16 * z**3 + 3 * z) / 96),
            (3, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384),
            (4, (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160),
        )
    )
    return z + higher


def proportion(hits: Array, units: NDArray[np.int64] | None = None) -> Estimate:
    """Estimate of the mean of hits (n,) of 0 and 1; units (n,) number the clusters rows belong to."""
    n = len(hits)
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0)
    share = float(hits.mean())
    low, high = wilson(share, effective_size(hits, units))
    return Estimate(share, low, high, n)


def effective_size(rows: Array, units: NDArray[np.int64] | None) -> float:
    """How many independent rows tell as much about the mean as these do.

    n times the ratio of the independent variance to that between clusters (at most n), shrunk by
    (z/t)^2 for the few clusters that variance stands on. Rows that never vary hide how alike
    clusters are: then a cluster counts as one row.
    """
    n = len(rows)
    if units is None:
        return float(n)
    _, units = np.unique(units, return_inverse=True)
    clusters = int(units.max()) + 1
    if clusters == n:
        return float(n)
    independent = float(rows.var())
    if independent == 0 or clusters < 2:
        return float(clusters)
    gaps = np.bincount(units, weights=rows - rows.mean(), minlength=clusters)
    between = clusters / (clusters - 1) * float((gaps**2).sum()) / n
    shrink = (Z / t_quantile(clusters - 1)) ** 2
    ratio = n if between == 0 else independent / between
    return max(1.0, n * min(1.0, ratio) * shrink)


def paired_proportions(a: Array, b: Array, units: NDArray[np.int64] | None = None) -> Estimate:
    """Estimate of mean(a) - mean(b) for hits on the same rows, by Newcombe 1998 (method 10:
    squared Wilson limits added with the correlation of the pairs)."""
    n = len(a)
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0)
    size = effective_size(a - b, units)
    pa, pb = float(a.mean()), float(b.mean())
    difference = pa - pb
    (la, ha), (lb, hb) = wilson(pa, size), wilson(pb, size)
    phi = _phi(a, b, size)
    below = (pa - la) ** 2 - 2 * phi * (pa - la) * (hb - pb) + (hb - pb) ** 2
    above = (ha - pa) ** 2 - 2 * phi * (ha - pa) * (pb - lb) + (pb - lb) ** 2
    low = difference - math.sqrt(max(0.0, below))
    high = difference + math.sqrt(max(0.0, above))
    return Estimate(difference, max(-1.0, low), min(1.0, high), n)


def _phi(a: Array, b: Array, size: float) -> float:
    """Correlation of the pairs with Newcombe's continuity correction; 0 where a margin is empty."""
    scale = size / len(a)
    both, neither = float((a * b).sum()) * scale, float(((1 - a) * (1 - b)).sum()) * scale
    only_a, only_b = float((a * (1 - b)).sum()) * scale, float(((1 - a) * b).sum()) * scale
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    if margins <= 0:
        return 0.0
    top = both * neither - only_a * only_b
    if top > 0:
        top = max(0.0, top - size / 2)
    return top / math.sqrt(margins)
