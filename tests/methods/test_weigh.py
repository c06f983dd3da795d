from __future__ import annotations

import numpy as np
import pytest

from trunkline.methods.table_target import Answers, loss_of
from trunkline.methods.weigh import held_out, weigh

N = 400
RNG = np.random.default_rng(0)
SIGNAL, OTHER, NOISE = RNG.normal(size=(3, N, 1))
TRUE = RNG.random(N) < 1 / (1 + np.exp(-2 * (SIGNAL + OTHER)[:, 0]))
TWO = Answers(TRUE.astype(np.int64), "logistic", 1)


def test_two_models_that_know_different_things_are_both_heard() -> None:
    a, b = weigh(SIGNAL, OTHER, TWO, (0.5, 0.5))
    assert a == pytest.approx(2, abs=0.6)
    assert b == pytest.approx(2, abs=0.6)
    assert loss_of(TWO, a * SIGNAL + b * OTHER) < min(loss_of(TWO, s * SIGNAL) for s in (0.5, 1.0, 2.0))


def test_noise_is_hardly_heard_and_never_turned_round() -> None:
    assert weigh(SIGNAL + OTHER, NOISE, TWO, (0.5, 0.5))[1] < 0.3
    assert weigh(SIGNAL, -OTHER, TWO, (0.5, 0.5))[1] == 0.0


def test_numbers_are_averaged() -> None:
    answers = Answers(SIGNAL[:, 0], "identity", 1)
    a, b = weigh(SIGNAL + OTHER, SIGNAL - OTHER, answers, (0.5, 0.5))
    assert a == pytest.approx(0.5, abs=0.03)
    assert a + b == pytest.approx(1)


def test_few_rows_stay_near_what_is_untold() -> None:
    """Two rows, which by themselves would ask for weights without end."""
    few = TWO.take(np.flatnonzero(TRUE & (SIGNAL > 0)[:, 0])[:2])
    assert max(weigh(SIGNAL[:2] ** 2, SIGNAL[:2] ** 2, few, (1.0, 0.5))) < 1.5


def test_no_fair_rows_leave_what_is_untold() -> None:
    one_each = Answers(np.array([0, 1, 2]), "softmax", 3)
    assert weigh(np.eye(3), np.eye(3), one_each, (1.0, 0.5)) == (1.0, 0.5)


def test_a_fold_is_weighed_without_its_own_answers() -> None:
    folds = np.arange(N) % 4
    found = held_out(SIGNAL, OTHER, TWO, folds, (0.5, 0.5))
    turned = np.where(folds == 1, 1 - TWO.values, TWO.values)
    again = held_out(SIGNAL, OTHER, Answers(turned, "logistic", 1), folds, (0.5, 0.5))
    assert (found == again)[folds == 1].all()
    assert (found != again)[folds != 1].all()
    a, b = weigh(SIGNAL, OTHER, TWO, (0.5, 0.5))
    assert loss_of(TWO, a * SIGNAL + b * OTHER) < loss_of(TWO, found) < loss_of(TWO, SIGNAL)
