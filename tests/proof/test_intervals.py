"""Intervals hold what they promise: coverage by simulation, edges, groups, time, pairs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from trunkline import metrics as m
from trunkline.metrics.wilson import wilson
from trunkline.proof.intervals import estimate, paired
from trunkline.proof.proportion import paired_proportions, proportion, t_quantile
from trunkline.types import Metric

ACCURACY = Metric("accuracy", True, m.accuracy, m.accuracy_rows, "%")
SLOW_F1 = Metric("macro_f1", True, m.macro_f1)
F1 = Metric("macro_f1", True, m.macro_f1, None, "%", lambda t, v, w: m.macro_f1(t, v, weights=w))
AUROC = Metric("auroc", True, m.auroc, None, "", lambda t, v, w: m.auroc(t, v, weights=w))
MAE = Metric("mae", False, m.mae, m.absolute_error_rows)
RMSE = Metric("rmse", False, m.rmse, None, "", lambda t, v, w: m.rmse(t, v, weights=w))


def answers(right: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    target = np.arange(len(right), dtype=np.int64) % 2
    said = np.where(right, target, 1 - target)
    return target, np.eye(2)[said] * 0.8 + 0.1


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (20, 20), (17, 20), (93, 100)])
def test_wilson_equals_scipy(hits: int, n: int) -> None:
    theirs = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits / n, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize("df", [1, 2, 3, 5, 19, 200])
def test_t_quantile(df: int) -> None:
    assert t_quantile(df) == pytest.approx(stats.t.ppf(0.975, df), rel=0.01)


def test_newcombes_own_example() -> None:
    """Newcombe 1998 (Stat. Med. 17:2635), table II, row 36/12/2/0... with method 10."""
    cells = {(1, 1): 36, (1, 0): 12, (0, 1): 2, (0, 0): 0}
    a = np.repeat([pair[0] for pair in cells], list(cells.values())).astype(float)
    b = np.repeat([pair[1] for pair in cells], list(cells.values())).astype(float)
    found = paired_proportions(a, b)
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0569, 0.3404), abs=2e-4)


def test_twenty_of_twenty_is_not_certain() -> None:
    target, values = answers(np.ones(20, bool))
    alone = estimate(ACCURACY, target, values)
    assert (alone.value, alone.high, alone.n) == (1.0, 1.0, 20)
    assert alone.low == pytest.approx(0.8389, abs=1e-4)
    grouped = estimate(ACCURACY, target, values, groups=[str(i // 4) for i in range(20)])
    assert grouped.low == pytest.approx(wilson(1.0, 5)[0])
    timed = estimate(ACCURACY, target, values, times=range(20))
    assert grouped.low < timed.low < alone.low
    for metric in (F1, AUROC, SLOW_F1):
        assert estimate(metric, target, values).low < 0.9


def test_same_answers_are_not_surely_the_same_product() -> None:
    target, values = answers(np.ones(20, bool))
    found = paired(ACCURACY, target, values, values)
    assert found.value == 0
    assert found.low < -0.1
    assert found.high > 0.1


def test_no_rows_and_one_class_give_nan_not_an_error() -> None:
    empty = estimate(ACCURACY, np.zeros(0, np.int64), np.zeros((0, 2)))
    assert np.isnan(empty.value)
    assert empty.n == 0
    one = estimate(AUROC, np.zeros(9, np.int64), np.full((9, 2), 0.5))
    assert np.isnan([one.value, one.low, one.high]).all()


def test_rare_class_draws_are_made_again() -> None:
    target = np.array([1, *[0] * 19])
    values = np.random.default_rng(0).dirichlet([1, 1], 20)
    found = estimate(AUROC, target, values)
    assert np.isfinite([found.low, found.high]).all()


def test_fast_and_slow_forms_agree_and_the_seed_decides() -> None:
    target, values = answers(np.random.default_rng(0).random(120) < 0.8)
    fast, slow = estimate(F1, target, values), estimate(SLOW_F1, target, values)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high), abs=1e-12)
    assert estimate(F1, target, values, seed=1) == estimate(F1, target, values, seed=1)
    assert estimate(F1, target, values, seed=1) != fast


def test_rows_alike_within_groups_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    good = np.repeat(rng.random(30) < 0.7, 10)
    target, values = answers(good)
    groups = [str(i // 10) for i in range(300)]
    for metric in (ACCURACY, F1):
        alone, together = estimate(metric, target, values), estimate(metric, target, values, groups=groups)
        assert together.high - together.low > 2 * (alone.high - alone.low)


def test_runs_in_time_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    error = np.convolve(rng.normal(size=420), np.ones(20) / 20, "valid")[:400]
    mixed = rng.permutation(400)
    alone = estimate(MAE, np.zeros(400), error[mixed])
    timed = estimate(MAE, np.zeros(400), error[mixed], times=mixed.tolist())
    assert timed.high - timed.low > 1.5 * (alone.high - alone.low)


def coverage(truth: float, intervals: list[tuple[float, float]]) -> float:
    return float(np.mean([low <= truth <= high for low, high in intervals]))


@pytest.mark.parametrize("share", [0.6, 0.9, 0.97])
def test_coverage_of_proportions_at_30(share: float) -> None:
    rng = np.random.default_rng(3)
    found = [proportion((rng.random(30) < share).astype(float)) for _ in range(3000)]
    assert coverage(share, [(f.low, f.high) for f in found]) >= 0.92


def test_coverage_of_grouped_proportions() -> None:
    """15 groups of 6 rows that succeed or fail alike: intra-class correlation about 0.5."""
    rng, found = np.random.default_rng(4), []
    units = np.repeat(np.arange(15), 6)
    for _ in range(1500):
        own = rng.random(15) < 0.8
        rows = np.where(rng.random(90) < 0.7, own[units], rng.random(90) < 0.8)
        found.append(proportion(rows.astype(float), units))
    assert coverage(0.8, [(f.low, f.high) for f in found]) >= 0.92


def test_coverage_of_paired_differences_at_30() -> None:
    rng, found = np.random.default_rng(5), []
    for _ in range(2000):
        a = rng.random(30) < 0.9
        b = np.where(rng.random(30) < 0.8, a, rng.random(30) < 0.7)
        found.append(paired_proportions(a.astype(float), b.astype(float)))
    truth = 0.9 - (0.8 * 0.9 + 0.2 * 0.7)
    assert coverage(truth, [(f.low, f.high) for f in found]) >= 0.92


def test_coverage_of_bootstrapped_errors_at_30() -> None:
    rng = np.random.default_rng(6)
    mae, rmse = [], []
    for seed in range(250):
        error = rng.normal(size=30)
        mae.append(estimate(MAE, np.zeros(30), error, seed=seed))
        rmse.append(estimate(RMSE, np.zeros(30), error, seed=seed))
    assert coverage(np.sqrt(2 / np.pi), [(f.low, f.high) for f in mae]) >= 0.92
    assert coverage(1.0, [(f.low, f.high) for f in rmse]) >= 0.92


def test_coverage_of_auroc_and_its_paired_gain_at_30() -> None:
    """Scores N(0,1) against N(1,1): AUROC = Phi(1/sqrt 2)."""
    rng = np.random.default_rng(7)
    target = np.arange(30, dtype=np.int64) % 2
    area, gain = [], []
    for seed in range(250):
        scores = rng.normal(size=(2, 30)) + np.array([[1.0], [0.5]]) * target
        a, b = (np.stack([-s, s], axis=1) for s in scores)
        area.append(estimate(AUROC, target, a, seed=seed))
        gain.append(paired(AUROC, target, a, b, seed=seed))
    truth = [float(stats.norm.cdf(x / np.sqrt(2))) for x in (1.0, 0.5)]
    assert coverage(truth[0], [(f.low, f.high) for f in area]) >= 0.92
    assert coverage(truth[0] - truth[1], [(f.low, f.high) for f in gain]) >= 0.92
