"""The linear table method: learns what is linear, chooses by folds, serves what it learned."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.methods.tables import KINDS, examples_of, folds_of, no_engine, signal, spec_of

from trunkline.errors import SpecError, TrainError
from trunkline.heads.table_linear import TableLinearHead
from trunkline.methods.table_target import Answers, answers_of
from trunkline.methods.tabular import Tabular, fit_linear
from trunkline.program import one
from trunkline.types import Candidate, Examples


def _fit(kind: str, **method: Any) -> tuple[Candidate, Examples]:
    examples = examples_of(kind)
    spec = spec_of({"two": "classify", "many": "classify"}.get(kind, kind), **method)
    return Tabular().fit(spec, examples, folds_of(len(examples)), no_engine), examples


@pytest.mark.parametrize(("kind", "at_least"), [("two", 0.85), ("many", 0.75)])
def test_classes_are_learned_and_served_as_learned(kind: str, at_least: float) -> None:
    candidate, _ = _fit(kind)
    fresh = examples_of(kind, seed=50)
    meta, arrays = candidate.head.save()
    values = one(TableLinearHead.load(meta, arrays).run(fresh.inputs), no_engine).values
    assert values.shape == (300, len(fresh.labels))
    np.testing.assert_allclose(values.sum(axis=1), 1)
    assert (values.argmax(axis=1) == fresh.target).mean() >= at_least
    np.testing.assert_array_equal(one(candidate.head.run(fresh.inputs[7:8]), no_engine).values[0], values[7])


def test_out_of_fold_never_saw_its_row() -> None:
    candidate, examples = _fit("two", name="tabular", settings={"C": 100.0, "knots": 0})
    changed = replace(
        examples, target=np.where(np.arange(300) % 4 == 1, 1 - examples.target, examples.target)
    )
    again = Tabular().fit(
        spec_of("classify", name="tabular", settings={"C": 100.0, "knots": 0}),
        changed,
        folds_of(300),
        no_engine,
    )
    held = folds_of(300) == 1  # other labels in fold 1 change every fold's answers but its own
    np.testing.assert_array_equal(candidate.out_of_fold.values[held], again.out_of_fold.values[held])
    assert (candidate.out_of_fold.values[~held] != again.out_of_fold.values[~held]).all()


def test_numbers_are_learned() -> None:
    candidate, examples = _fit("regress")
    fresh = examples_of("regress", seed=50)
    values = one(candidate.head.run(fresh.inputs), no_engine).values
    assert values.shape == (300,)
    assert np.corrcoef(values, signal(fresh.inputs))[0, 1] > 0.97
    assert abs((candidate.out_of_fold.values - examples.target).mean()) < 0.05


def test_labels_are_learned_one_by_one_even_one_that_never_holds() -> None:
    candidate, examples = _fit("multilabel")
    values = candidate.out_of_fold.values
    assert values.shape == (300, 3)
    assert (((values[:, :2] > 0.5) == examples.target[:, :2]).mean(axis=0) > 0.85).all()
    assert (values[:, 2] < 0.01).all()


def test_a_bent_relation_takes_knots_and_a_straight_one_does_without() -> None:
    examples = examples_of("two", 600)
    middle = np.array([abs(row["income"] - 30) < 7 for row in examples.inputs])
    bent = Tabular().fit(
        spec_of("classify"), replace(examples, target=middle.astype(np.int64)), folds_of(600), no_engine
    )
    assert bent.settings["knots"] == 8
    assert ((bent.out_of_fold.values[:, 1] > 0.5) == middle).mean() > 0.9


def test_settings_from_the_spec_are_used_and_unknown_ones_refused() -> None:
    candidate, _ = _fit("two", name="tabular", settings={"C": 0.5, "knots": 2})
    assert candidate.settings == {"C": 0.5, "knots": 2}
    with pytest.raises(SpecError, match="did you mean 'knots'"):
        _fit("two", name="tabular", settings={"knot": 2})
    with pytest.raises(SpecError, match="wrong value"):
        _fit("two", name="tabular", settings={"C": -1.0})
    assert _fit("two", name="boosting", settings={"num_leaves": 3})[0].settings["knots"] in (0, 8)


def test_the_same_seed_gives_the_same_head() -> None:
    (_, a), (_, b) = (_fit("many")[0].head.save() for _ in range(2))
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize("present", [(1,), (0, 2)])
def test_classes_a_fold_lacks_get_next_to_no_probability(present: tuple[int, ...]) -> None:
    examples = examples_of("many")
    part = examples.take(np.isin(examples.target, present))
    answers = answers_of(spec_of("classify"), part)
    scores = fit_linear(np.random.default_rng(0).normal(size=(len(part), 4)), answers, 1.0).scores(
        np.zeros((1, 4))
    )
    absent = [k for k in range(3) if k not in present]
    assert (scores[0, absent] < scores[0, list(present)].min() - 20).all()


def test_more_than_its_budget_is_refused() -> None:
    with pytest.raises(TrainError, match="budget"):
        _fit("two", head_mb=0.0001)


def test_what_it_can() -> None:
    examples = examples_of("two")
    assert Tabular().can(spec_of("classify"), examples) is None
    refused = Tabular().can(spec_of("classify", {**KINDS, "note": "text"}), examples)
    assert refused is not None
    assert "text" in refused.message


def test_a_newton_step_that_leads_nowhere_gives_way_to_a_solver_that_converges() -> None:
    """Both answers once for each row: the best weights are 0, which Newton's line search doesn't find."""
    rows = np.tile(np.column_stack([np.eye(3), np.ones(3)]), (2, 1))
    answers = Answers(np.repeat([0, 1], 3).astype(np.int64), "logistic", 1)
    fitted = fit_linear(rows, answers, 0.3)
    np.testing.assert_allclose(fitted.scores(rows), 0, atol=1e-4)
