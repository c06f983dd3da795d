"""Every figure against scikit-learn's answer, with ties, absent classes, NaN and one-class rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from trunkline import metrics as m
from trunkline.errors import SpecError


def rows(
    n: int = 200, classes: int = 4, seed: int = 0, decimals: int = 1
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Targets and probabilities with many ties (rounded), not summing to 1 exactly."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, n)
    values = rng.dirichlet(np.ones(classes), n) + 0.3 * (target[:, None] == np.arange(classes))
    return target, np.round(values / values.sum(axis=1, keepdims=True), decimals)


@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_hard_figures_equal_scikit_learn(seed: int, n: int, classes: int) -> None:
    target, values = rows(n, classes, seed)
    said = values.argmax(axis=1)
    assert m.accuracy(target, values) == pytest.approx(sk.accuracy_score(target, said))
    assert m.macro_f1(target, values) == pytest.approx(
        sk.f1_score(target, said, average="macro", zero_division=0)
    )
    names = list(range(classes))
    assert (m.confusion(target, said, classes) == sk.confusion_matrix(target, said, labels=names)).all()
    ours = m.per_class(target, said, classes)
    theirs = sk.precision_recall_fscore_support(target, said, labels=names, zero_division=np.nan)
    np.testing.assert_allclose(ours["precision"], theirs[0])
    np.testing.assert_allclose(ours["recall"], theirs[1])
    np.testing.assert_allclose(ours["support"], theirs[3])
    seen = ~np.isnan(ours["f1"])
    np.testing.assert_allclose(ours["f1"][seen], theirs[2][seen])


@given(st.integers(0, 10_000), st.integers(4, 80), st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_binary_ranking_equals_scikit_learn(seed: int, n: int, decimals: int) -> None:
    target, values = rows(n, 2, seed, decimals)
    target[:2] = (0, 1)
    assert m.auroc(target, values) == pytest.approx(sk.roc_auc_score(target, values[:, 1]))
    assert m.average_precision(target, values) == pytest.approx(
        sk.average_precision_score(target, values[:, 1])
    )
    assert m.average_precision(target, values, positive=0) == pytest.approx(
        sk.average_precision_score(1 - target, values[:, 0])
    )


def test_multiclass_auroc_is_the_mean_of_one_vs_rest() -> None:
    target, values = rows(300, 4, decimals=3)
    values /= values.sum(axis=1, keepdims=True)
    expected = sk.roc_auc_score(target, values, multi_class="ovr", average="macro")
    assert m.auroc(target, values) == pytest.approx(expected)
    hot = target[:, None] == np.arange(4)
    assert m.average_precision(target, values) == pytest.approx(sk.average_precision_score(hot, values))


def test_one_class_only_has_no_ranking_figures() -> None:
    target, values = np.zeros(20, np.int64), rows(20, 2)[1]
    with pytest.warns(sk.exceptions.UndefinedMetricWarning if hasattr(sk, "exceptions") else UserWarning):
        assert np.isnan(sk.roc_auc_score(target, values[:, 1]))
    assert np.isnan(m.auroc(target, values))
    assert np.isnan(m.average_precision(target, values))  # scikit-learn warns and says 0
    assert np.isnan(m.recall_at_alarm_rate(target, values, 0.1))
    assert m.accuracy(target, values) == pytest.approx((values.argmax(axis=1) == 0).mean())


def test_absent_class_is_left_out_of_the_mean() -> None:
    target, values = rows(90, 3, decimals=2)
    wider = np.hstack([values, np.zeros((90, 1))])
    assert m.auroc(target, wider) == pytest.approx(m.auroc(target, values))
    assert m.macro_f1(target, wider) == pytest.approx(m.macro_f1(target, values))


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.37, 0.9])
def test_recall_at_alarm_rate_is_the_mean_over_orders_of_the_ties(rate: float) -> None:
    target, values = rows(60, 2, seed=3, decimals=1)
    rng, seen = np.random.default_rng(0), []
    for _ in range(4000):
        order = np.lexsort((rng.random(60), -values[:, 1]))
        room = np.clip(rate * 60 - np.arange(60), 0, 1)
        seen.append((target[order] * room).sum() / target.sum())
    assert m.recall_at_alarm_rate(target, values, rate) == pytest.approx(np.mean(seen), abs=0.004)


def test_a_score_that_says_nothing_has_recall_equal_to_the_rate() -> None:
    target = np.array([0, 1] * 10)
    assert m.recall_at_alarm_rate(target, np.full((20, 2), 0.5), 0.15) == pytest.approx(0.15)


def test_log_loss_equals_scikit_learn() -> None:
    target, values = rows(100, 3, decimals=6)
    values /= values.sum(axis=1, keepdims=True)
    assert m.log_loss(target, values) == pytest.approx(sk.log_loss(target, values, labels=[0, 1, 2]))
    sure = np.eye(3)[[0, 1]]
    assert m.log_loss(np.array([0, 2]), sure) == pytest.approx(sk.log_loss([0, 2], sure, labels=[0, 1, 2]))


def test_calibration_error_from_scikit_learns_curve() -> None:
    target, values = rows(500, 2, decimals=9)
    confidence, right = values.max(axis=1), values.argmax(axis=1) == target
    shares, promised = calibration_curve(right, confidence, n_bins=15, strategy="quantile")
    sizes = np.bincount(m.equal_mass_bins(confidence, 15))
    assert sizes.max() - sizes.min() <= 1
    expected = (np.abs(shares - promised) * sizes).sum() / 500
    assert m.calibration_error(target, values) == pytest.approx(expected, abs=2e-3)


def test_calibration_error_does_not_depend_on_the_order_of_rows() -> None:
    target, values = rows(300, 3, decimals=1)
    mixed = np.random.default_rng(1).permutation(300)
    assert m.calibration_error(target, values) == pytest.approx(
        m.calibration_error(target[mixed], values[mixed])
    )


def test_costs_change_the_answer() -> None:
    costs = m.cost_matrix(["good", "bad"], {"bad": {"good": 5}})
    np.testing.assert_array_equal(costs, [[0, 1], [5, 0]])
    values = np.array([[0.8, 0.2], [0.9, 0.1]])
    assert m.decide(values).tolist() == [0, 0]
    assert m.decide(values, costs).tolist() == [1, 0]  # 0.2 * 5 > 0.8 * 1
    assert m.expected_cost(np.array([1, 1]), values, costs) == pytest.approx(2.5)
    with pytest.raises(SpecError, match="did you mean 'bad'"):
        m.cost_matrix(["good", "bad"], {"bda": {"good": 5}})


@given(st.integers(0, 10_000), st.integers(1, 50), st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_multilabel_figures_equal_scikit_learn(seed: int, n: int, labels: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.random((n, labels)) < 0.4
    target[0] = True  # every label somewhere, so that both sides mean over the same labels
    values = np.round(rng.random((n, labels)) * 0.6 + 0.3 * target, 1)
    said = values >= 0.5
    assert m.multilabel_micro_f1(target, values) == pytest.approx(sk.f1_score(target, said, average="micro"))
    assert m.multilabel_macro_f1(target, values) == pytest.approx(
        sk.f1_score(target, said, average="macro", zero_division=0)
    )
    assert m.exact_match(target, values) == pytest.approx(sk.accuracy_score(target, said))
    assert m.label_ranking_average_precision(target, values) == pytest.approx(
        sk.label_ranking_average_precision_score(target, values)
    )
    assert m.multilabel_average_precision(target, values) == pytest.approx(
        sk.average_precision_score(target, values, average="macro")
    )


def test_regress_figures_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(1e6, 3, 80)
    values = target + rng.normal(0, 1, 80)
    assert m.mae(target, values) == pytest.approx(sk.mean_absolute_error(target, values))
    assert m.rmse(target, values) == pytest.approx(sk.root_mean_squared_error(target, values))
    assert m.r2(target, values) == pytest.approx(sk.r2_score(target, values))
    assert np.isnan(m.r2(np.ones(5), np.ones(5)))  # scikit-learn says 1: nothing to explain
    assert m.interval_coverage(target, values - 1, values + 1) == pytest.approx(
        (np.abs(target - values) <= 1).mean()
    )


def test_nan_is_never_an_answer() -> None:
    target, values = rows(20, 3)
    values[4, 1] = np.nan
    for figure in (m.accuracy, m.macro_f1, m.auroc, m.average_precision, m.calibration_error):
        assert np.isnan(figure(target, values))
    assert np.isnan(m.expected_cost(target, values, 1 - np.eye(3)))
    assert np.isnan(m.mae(np.ones(2), np.array([1, np.nan])))
    labels = np.ones((2, 2), bool)
    for of_labels in (m.multilabel_micro_f1, m.exact_match, m.label_ranking_average_precision):
        assert np.isnan(of_labels(labels, np.array([[0.2, np.nan], [0.1, 0.3]])))


def test_no_rows_give_nan() -> None:
    target, values = np.zeros(0, np.int64), np.zeros((0, 3))
    for figure in (m.accuracy, m.macro_f1, m.auroc, m.log_loss, m.calibration_error):
        assert np.isnan(figure(target, values))
    for number in (m.mae, m.rmse, m.r2):
        assert np.isnan(number(np.zeros(0), np.zeros(0)))


BINARY: list[Any] = [m.auroc, m.average_precision, m.macro_f1, m.accuracy, m.log_loss]


@pytest.mark.parametrize("figure", [*BINARY, lambda t, v, **k: m.recall_at_alarm_rate(t, v, 0.2, **k)])
@pytest.mark.parametrize("decimals", [1, 6])
def test_integer_weights_equal_repeated_rows(figure: Any, decimals: int) -> None:
    target, values = rows(40, 2, seed=5, decimals=decimals)
    weights = np.random.default_rng(0).integers(0, 4, (3, 40)).astype(float)
    expected = [
        figure(np.repeat(target, w.astype(int)), np.repeat(values, w.astype(int), axis=0)) for w in weights
    ]
    np.testing.assert_allclose(figure(target, values, weights=weights), expected)


def test_weights_equal_repeated_rows_for_labels_and_numbers() -> None:
    rng = np.random.default_rng(2)
    weights = rng.integers(0, 3, (4, 30)).astype(float)
    labels, values = rng.random((30, 3)) < 0.5, rng.random((30, 3))
    numbers, said = rng.normal(size=30), rng.normal(size=30)
    at = [np.repeat(np.arange(30), w.astype(int)) for w in weights]
    for figure in (m.multilabel_micro_f1, m.multilabel_macro_f1, m.multilabel_average_precision):
        np.testing.assert_allclose(
            figure(labels, values, weights=weights), [figure(labels[i], values[i]) for i in at]
        )
    for number in (m.mae, m.rmse, m.r2):
        np.testing.assert_allclose(
            number(numbers, said, weights=weights), [number(numbers[i], said[i]) for i in at]
        )


@pytest.mark.parametrize("figure", [m.auroc, m.average_precision])
def test_draws_of_many_classes_agree_with_real_resampling(figure: Any) -> None:
    target, values = rows(600, 12, seed=1, decimals=6)
    rng = np.random.default_rng(0)
    weights = np.stack([np.bincount(rng.integers(0, 600, 600), minlength=600) for _ in range(200)]).astype(
        float
    )
    at = [np.repeat(np.arange(600), w.astype(int)) for w in weights]
    exact = [figure(target[i], values[i]) for i in at]
    drawn = figure(target, values, weights=weights)
    assert np.std(drawn - exact) < 0.35 * np.std(exact)
    assert np.std(drawn) == pytest.approx(np.std(exact), rel=0.15)
    np.testing.assert_allclose(figure(target, values, weights=np.ones((1, 600))), figure(target, values))


def test_recall_of_many_classes_is_drawn_under_the_alarms_as_they_are() -> None:
    target, values = rows(600, 12, seed=1, decimals=6)
    plain = m.recall_at_alarm_rate(target, values, 0.1)
    assert m.recall_at_alarm_rate(target, values, 0.1, weights=np.ones((1, 600)))[0] == pytest.approx(plain)
    rng = np.random.default_rng(0)
    weights = np.stack([np.bincount(rng.integers(0, 600, 600), minlength=600) for _ in range(200)]).astype(
        float
    )
    at = [np.repeat(np.arange(600), w.astype(int)) for w in weights]
    exact = [m.recall_at_alarm_rate(target[i], values[i], 0.1) for i in at]
    drawn = m.recall_at_alarm_rate(target, values, 0.1, weights=weights)
    assert np.std(drawn) == pytest.approx(np.std(exact), rel=0.3)


def test_draws_of_few_classes_are_exact() -> None:
    target, values = rows(100, 5, seed=1, decimals=2)
    weights = np.random.default_rng(0).integers(0, 3, (4, 100)).astype(float)
    at = [np.repeat(np.arange(100), w.astype(int)) for w in weights]
    for figure in (m.auroc, m.average_precision):
        expected = [figure(target[i], values[i]) for i in at]
        np.testing.assert_allclose(figure(target, values, weights=weights), expected)
