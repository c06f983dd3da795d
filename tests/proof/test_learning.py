"""Extrapolation of learning curves: right on a power law, unsure where the points are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.proof.fakes import measured

from trunkline.proof.learning import extrapolate
from trunkline.types import CurvePoint, Estimate


def law(rows: int) -> float:
    return 0.95 - 2.0 / math.sqrt(rows)


def test_a_power_law_is_continued() -> None:
    points = measured(1000, [(r, law(r)) for r in (200, 400, 800, 1600, 3200)], spread=0.005)
    ahead = extrapolate(points, (1_000, 3_200))
    assert [p.rows for p in ahead] == [4200, 6400]
    assert all(p.extrapolated for p in ahead)
    for point in ahead:
        assert point.value.value == pytest.approx(law(point.rows), abs=0.002)
        assert point.value.low <= law(point.rows) <= point.value.high


def test_wider_points_give_a_wider_band() -> None:
    rows = [(r, law(r)) for r in (200, 400, 800, 1600)]
    narrow, wide = (extrapolate(measured(1000, rows, s))[0].value for s in (0.003, 0.03))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_errors_that_fall_work_too() -> None:
    points = measured(100, [(r, 10 + 300 * r**-0.6) for r in (50, 100, 200, 400)], spread=0.3)
    ahead = extrapolate(points, (400,))[0].value
    assert ahead.value == pytest.approx(10 + 300 * 800**-0.6, rel=0.05)


def test_band_holds_the_truth_most_of_the_time() -> None:
    rng, held = np.random.default_rng(0), 0
    for seed in range(60):
        rows = [(r, law(r) + rng.normal(0, 0.005)) for r in (200, 400, 800, 1600, 3200)]
        point = extrapolate(measured(100, rows, 0.0098), (1_000,), seed)[0].value
        held += point.low <= law(4200) <= point.high
    assert held >= 52


def test_under_three_sizes_there_is_no_forecast() -> None:
    assert extrapolate(measured(10, [(100, 0.5), (200, 0.6)])) == []
    bad = CurvePoint(300, Estimate(np.nan, np.nan, np.nan, 10))
    assert extrapolate([*measured(10, [(100, 0.5), (200, 0.6)]), bad]) == []
