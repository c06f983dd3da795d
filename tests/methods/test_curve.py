from __future__ import annotations

import numpy as np
import pytest
from tests.methods.texts import ask, examples, spec_of

from trunkline.methods import METHODS
from trunkline.methods.curve import Refits, learning_curve
from trunkline.methods.ladder import climb
from trunkline.program import one
from trunkline.tasks import TASKS

CLASSIFY = TASKS.get("classify")()


def test_the_curve_rises_to_the_value_of_all_rows() -> None:
    known, spec = examples(n=240), spec_of(method={"name": "ngrams"})
    climbed = climb(spec, CLASSIFY, known, ask)
    points = learning_curve(spec, CLASSIFY, known, climbed, ask)
    assert [p.rows for p in points] == [24, 48, 96, 192]
    assert points[-1].value == climbed.rungs[-1].value
    assert points[0].value.value <= points[-1].value.value + 0.02
    assert len({p.value.n for p in points}) == 1  # all of the same rows


def test_a_method_that_cannot_refit_is_learned_in_halves() -> None:
    known, spec = examples(n=240), spec_of(method={"name": "knn"})
    climbed = climb(spec, CLASSIFY, known, ask)
    points = learning_curve(spec, CLASSIFY, known, climbed, ask)
    assert [p.rows for p in points] == [15, 30, 60, 192]


def test_many_rows_are_judged_on_one_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.methods.curve.ENOUGH_ROWS", 40)
    known, spec = examples(n=240), spec_of(method={"name": "linear"})
    climbed = climb(spec, CLASSIFY, known, ask)
    points = learning_curve(spec, CLASSIFY, known, climbed, ask)
    assert {p.value.n for p in points} == {48}


@pytest.mark.parametrize("name", ["linear", "ngrams", "fused"])
@pytest.mark.parametrize("task", ["classify", "regress", "multilabel"])
def test_refitting_by_the_chosen_settings_is_what_fit_ends_with(name: str, task: str) -> None:
    known, spec = examples(n=120, task=task), spec_of(task=task, method={"name": name})
    method = METHODS.get(name)()
    assert isinstance(method, Refits)
    kind = TASKS.get(task)()
    fitted = method.fit(spec, known, kind.folds(known, 3, 0), ask)
    again = method.refit(spec, known, ask, fitted.settings)
    rows = known.inputs[:20]
    wanted, found = one(fitted.head.run(rows), ask).values, one(again.run(rows), ask).values
    assert np.array_equal(wanted, found)
