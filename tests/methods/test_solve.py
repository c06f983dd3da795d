from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression, Ridge

from trunkline.methods import solve
from trunkline.methods.solve import fit_linear
from trunkline.methods.table_target import Answers


def data(n: int = 300, d: int = 12, k: int = 4) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(n, d)) * np.geomspace(0.05, 2, d) + 1).astype(np.float32)
    return x, (x @ rng.normal(size=(d, k)) + rng.gumbel(size=(n, k))).argmax(axis=1)


@pytest.fixture(autouse=True)
def to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Far beyond what training stops at, so that the optimum can be compared with scikit-learn's."""
    monkeypatch.setattr(solve, "TOLERANCE", 1e-9)
    monkeypatch.setattr(solve, "STEPS", 500)


@pytest.mark.parametrize("form", [np.asarray, csr_matrix])
@pytest.mark.parametrize("penalty", [0.05, 2.0])
def test_softmax_is_the_optimum_of_scikit_learn(form: Any, penalty: float) -> None:
    x, y = data()
    ours = fit_linear(form(x), Answers(y, "softmax", 4), penalty).scores(x)
    theirs = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5000).fit(x, y).decision_function(x)
    gap = (ours - ours.mean(axis=1, keepdims=True)) - (theirs - theirs.mean(axis=1, keepdims=True))
    assert np.abs(gap).max() < 0.05  # float32


@pytest.mark.parametrize("form", [np.asarray, csr_matrix])
def test_logistic_and_labels_are_the_optimum_of_scikit_learn(form: Any) -> None:
    x, y = data(k=3)
    two = fit_linear(form(x), Answers((y == 1).astype(np.int64), "logistic", 1), 0.5).scores(x)
    theirs = LogisticRegression(C=2, tol=1e-8, max_iter=5000).fit(x, y == 1).decision_function(x)
    assert np.abs(two[:, 0] - theirs).max() < 0.03
    labels = np.column_stack([y == 0, y == 1]).astype(np.int64)
    both = fit_linear(form(x), Answers(labels, "labels", 2), 0.5).scores(x)
    assert np.abs(both[:, 1] - theirs).max() < 0.03


@pytest.mark.parametrize("form", [np.asarray, csr_matrix])
def test_identity_is_ridge_on_a_standardised_target(form: Any) -> None:
    x, _ = data()
    y = x @ np.arange(12) * 1e5 + np.random.default_rng(1).normal(size=len(x)) * 1e4
    ours = fit_linear(form(x), Answers(y.astype(np.float64), "identity", 1), 0.5).scores(x)[:, 0]
    theirs = Ridge(alpha=0.5).fit(x, y).predict(x)
    assert np.abs(ours - theirs).max() < 0.003 * y.std()


def test_a_class_without_rows_and_a_constant_feature_do_no_harm() -> None:
    x, y = data()
    x[:, 3] = 7
    found = fit_linear(x, Answers(np.minimum(y, 2), "softmax", 6), 0.1)
    assert np.isfinite(found.weights).all()
    assert (found.scores(x).argmax(axis=1) < 3).all()


def test_a_constant_target_is_answered() -> None:
    x, _ = data()
    assert fit_linear(x, Answers(np.full(len(x), 5.0), "identity", 1), 1.0).scores(x) == pytest.approx(5)


@pytest.mark.parametrize("link", ["softmax", "identity"])
def test_few_rows_in_a_wide_space_are_fitted_as_if_all_directions_were_looked_at(
    link: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 1_100)).astype(np.float32)
    x[1] = x[0]
    values = np.arange(30) % 3
    answers = Answers(values, link, 3) if link == "softmax" else Answers(x[:, 0].astype(np.float64), link, 1)
    narrow = fit_linear(x, answers, 0.3)
    monkeypatch.setattr(solve, "WIDE", 2_000)
    whole = fit_linear(x, answers, 0.3)
    assert np.allclose(narrow.scores(x), whole.scores(x), atol=0.02)  # float32
    assert np.allclose(narrow.weights, whole.weights, atol=1e-4)
