"""The report's part for numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trunkline.metrics import absolute_error_rows, coverage_rows, mae
from trunkline.proof.cells import shown
from trunkline.proof.classes import Units
from trunkline.proof.classify import MISTAKES
from trunkline.proof.details import Interval, Quantile, RegressDetail
from trunkline.proof.explained import Mistake
from trunkline.proof.intervals import estimate
from trunkline.proof.numbers import brief
from trunkline.proof.proportion import proportion
from trunkline.types import Evidence, Metric

POINTS = 400
PARTS = 5
ERROR = Metric("mae", False, mae, absolute_error_rows)


def detail(evidence: Evidence, units: Units) -> RegressDetail:
    target, values = evidence.test.target, evidence.prediction.values
    picked = np.random.default_rng(evidence.spec.seed).permutation(len(target))[:POINTS]
    points = ((float(target[i]), float(values[i])) for i in np.sort(picked))
    return RegressDetail(
        points=tuple(p for p in points if np.isfinite(p).all()),
        quantiles=_quantiles(target, values, units, evidence.spec.seed),
        coverage=_coverage(evidence, units),
    )


def _quantiles(
    target: NDArray[np.float64], values: NDArray[np.floating], units: Units, seed: int
) -> tuple[Quantile, ...]:
    edges = np.quantile(target, np.linspace(0, 1, PARTS + 1)[1:-1]) if len(target) else np.array([])
    part = np.searchsorted(edges, target, side="right")
    out = []
    for number in np.unique(part):
        inside = part == number
        groups = None if units is None else units[inside].tolist()
        error = estimate(ERROR, target[inside], values[inside], groups=groups, seed=seed)
        bias = float(np.mean(values[inside] - target[inside]))
        low, high = float(target[inside].min()), float(target[inside].max())
        out.append(Quantile(low, high, Interval.of(error), bias))
    return tuple(out)


def _coverage(evidence: Evidence, units: Units) -> Interval | None:
    """Over the rows whose answer came with an interval."""
    bounds = [(answer.fields.get("low"), answer.fields.get("high")) for answer in evidence.answers]
    ends = np.array([(math.nan, math.nan) if None in pair else pair for pair in bounds], np.float64)
    has = np.isfinite(ends).all(axis=1) if len(ends) else np.zeros(0, bool)
    if not has.any():
        return None
    hits = coverage_rows(evidence.test.target[has], ends[has, 0], ends[has, 1])
    return Interval.of(proportion(hits, None if units is None else units[has]))


def mistakes(evidence: Evidence) -> tuple[Mistake, ...]:
    """The answers farthest from the truth."""
    test, values = evidence.test, evidence.prediction.values
    off = np.nan_to_num(np.abs(test.target - values), nan=np.inf)
    return tuple(
        Mistake(
            row=int(test.rows[i]),
            inputs={name: shown(cell) for name, cell in test.inputs[i].items()},
            truth=brief(float(test.target[i]), 4),
            answer=brief(float(values[i]), 4),
            probability=None,
            size=float(off[i]),
        )
        for i in np.argsort(-off, kind="stable")[:MISTAKES]
        if off[i] > 0
    )
