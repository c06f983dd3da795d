from __future__ import annotations

import numpy as np
import pytest
from tests.methods.texts import spec_of

from trunkline.errors import DataError
from trunkline.tasks.regress import Regress
from trunkline.types import Decision, Examples, Prediction

TASK = Regress()


def noisy(n: int, seed: int) -> tuple[Examples, Prediction]:
    rng = np.random.default_rng(seed)
    target = rng.normal(size=n) * 10
    known = Examples([{}] * n, target, (), [str(i).encode() for i in range(n)], np.arange(n))
    return known, Prediction(target + rng.standard_t(3, size=n), rng.random(n))


def test_cells_are_numbers_and_others_are_named() -> None:
    target, labels = TASK.target(spec_of("regress"), ["1,234.5", "-2", 3], None)
    assert target.tolist() == [1234.5, -2, 3]
    assert labels == ()
    for wrong in ("many", "", None, "nan"):
        with pytest.raises(DataError, match="number"):
            TASK.target(spec_of("regress"), ["1", wrong], None)


def test_intervals_hold_nine_of_ten_new_rows() -> None:
    inside = []
    for seed in range(20):
        known, raw = noisy(200, seed)
        decision = TASK.calibrate(spec_of("regress", serve={"out_of_scope": False}), known, raw)
        new, found = noisy(500, 100 + seed)
        answers = TASK.decode(TASK.finish(found, decision), decision, ())
        inside += [a.fields["low"] <= t <= a.fields["high"] for a, t in zip(answers, new.target, strict=True)]
    assert 0.89 < np.mean(inside) < 0.925


def test_few_rows_give_the_widest_residual() -> None:
    known, raw = noisy(5, 0)
    assert TASK.calibrate(spec_of("regress"), known, raw).residual == pytest.approx(
        float(np.abs(known.target - raw.values).max())
    )


def test_out_of_scope_rows_get_no_number() -> None:
    answers = TASK.decode(Prediction(np.ones(2), np.array([0.1, 0.9])), Decision(outside_above=0.5, residual=2.0), ())
    assert answers[0].fields == {"value": 1.0, "low": -1.0, "high": 3.0}
    assert answers[1].status == "out_of_scope"
    assert set(answers[1].fields.values()) == {None}


def test_a_correction_is_a_number() -> None:
    answer = TASK.decode(Prediction(np.ones(1)), Decision(), ())[0]
    assert TASK.correct(answer, "2.5", ()) == 2.5
    with pytest.raises(DataError):
        TASK.correct(answer, "two", ())
