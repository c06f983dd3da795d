from __future__ import annotations

import numpy as np
import pytest

from trunkline.methods import crossfit
from trunkline.methods.crossfit import cross_fit
from trunkline.methods.solve import fit_linear
from trunkline.methods.table_target import Answers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 5)).astype(np.float32)
Y = Answers((X[:, 0] + RNG.normal(size=200) > 0).astype(np.int64), "logistic", 1)
FOLDS = np.arange(200) % 5


def test_scores_come_from_models_that_have_not_seen_the_row() -> None:
    found = cross_fit(X, Y, FOLDS, (0.5,))
    for fold in range(5):
        rest = np.flatnonzero(fold != FOLDS)
        wanted = fit_linear(X[rest], Y.take(rest), 0.5).scores(X[fold == FOLDS])
        assert np.array_equal(found.out_of_fold[fold == FOLDS], wanted)


def test_noise_chooses_the_strongest_penalty() -> None:
    noise, wide = Answers(RNG.permutation(Y.values), "logistic", 1), RNG.normal(size=(200, 60)).astype(np.float32)
    assert cross_fit(wide, noise, FOLDS, (0.01, 1.0, 1000.0)).penalty == 1000.0


def test_many_scores_are_put_into_three_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crossfit, "MANY", 200)
    found = cross_fit(X, Y, FOLDS, (0.5,))
    rest = np.flatnonzero(FOLDS % 3 != 0)
    wanted = fit_linear(X[rest], Y.take(rest), 0.5).scores(X[FOLDS % 3 == 0])
    assert np.array_equal(found.out_of_fold[FOLDS % 3 == 0], wanted)


def test_rows_alone_in_their_class_do_not_choose() -> None:
    alone = Answers(np.arange(10), "softmax", 10)
    assert cross_fit(X[:10], alone, np.arange(10) % 5, (0.3, 3.0)).penalty == 0.3
