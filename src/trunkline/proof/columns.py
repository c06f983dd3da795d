"""What each input column brings: the figures."""

from __future__ import annotations

import math

from trunkline.proof.details import Interval
from trunkline.proof.intervals import paired
from trunkline.proof.report import Brought
from trunkline.types import Estimate, Evidence, Metric, Without


def brought(evidence: Evidence, metric: Metric) -> tuple[Brought, ...]:
    """Most first; a gain that these rows can't give comes last."""
    found = [
        Brought(each.column, evidence.spec.inputs[each.column], each.method, Interval.of(_gain(evidence, metric, each)))
        for each in evidence.without
    ]
    return tuple(sorted(found, key=lambda one: -math.inf if one.gain.value is None else one.gain.value, reverse=True))


def _gain(evidence: Evidence, metric: Metric, without: Without) -> Estimate:
    part = evidence.test.take(without.rows)
    whole, rest = evidence.prediction.values[without.rows], without.prediction.values
    a, b = (whole, rest) if metric.higher_is_better else (rest, whole)
    return paired(metric, part.target, a, b, groups=part.groups, times=part.times, seed=evidence.spec.seed)
