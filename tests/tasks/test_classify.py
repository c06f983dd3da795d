from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.methods.texts import spec_of

from trunkline.errors import DataError, SpecError
from trunkline.metrics import log_loss
from trunkline.metrics.wilson import wilson
from trunkline.tasks.classify import Classify
from trunkline.types import Decision, Examples, Prediction

TASK = Classify()
LABELS = ("bad", "good", "中")


def examples(target: NDArray[Any], labels: tuple[str, ...] = LABELS) -> Examples:
    n = len(target)
    return Examples([{}] * n, target.astype(np.int64), labels, [str(i).encode() for i in range(n)], np.arange(n))


def noisy(n: int = 2000, k: int = 3, power: float = 1.0, seed: int = 0) -> tuple[Examples, Prediction]:
    """Targets drawn from known probabilities, which are then sharpened by `power`."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, k)) * 2
    honest = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    target = (rng.random(n)[:, None] > honest.cumsum(axis=1)).sum(axis=1).clip(0, k - 1)
    sharp = np.exp(scores * power)
    return examples(target, LABELS[:k]), Prediction(sharp / sharp.sum(axis=1, keepdims=True), rng.random(n))


def test_cells_are_stripped_and_an_unseen_label_is_named_with_the_nearest() -> None:
    target, labels = TASK.target(spec_of(), [" good", "bad ", "中"], None)
    assert labels == LABELS
    assert target.tolist() == [1, 0, 2]
    with pytest.raises(DataError) as error:
        TASK.target(spec_of(), ["good", "goood"], LABELS)
    assert "goood" in str(error.value)
    assert "'good'" in str(error.value)


@pytest.mark.parametrize("power", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_over_and_under_confidence(power: float) -> None:
    known, raw = noisy(power=power)
    decision = TASK.calibrate(spec_of(), known, raw)
    assert decision.temperature == pytest.approx(power, rel=0.12)
    assert log_loss(known.target, TASK.finish(raw, decision).values) <= log_loss(known.target, raw.values) + 1e-6


def test_the_temperature_is_the_best_of_a_fine_grid() -> None:
    known, raw = noisy(power=2.5, n=300)
    found = TASK.calibrate(spec_of(), known, raw)
    grid = [log_loss(known.target, TASK.finish(raw, Decision(temperature=t)).values) for t in np.geomspace(0.05, 20, 400)]
    assert log_loss(known.target, TASK.finish(raw, found).values) < min(grid) + 1e-4


def test_rows_alone_in_their_class_leave_the_temperature_alone() -> None:
    known = examples(np.arange(3))
    wrong = Prediction(np.roll(np.eye(3) * 0.9 + 0.1 / 3, 1, axis=1))
    assert TASK.calibrate(spec_of(), known, wrong).temperature == 1.0


def test_a_certain_wrong_zero_is_finite() -> None:
    known = examples(np.array([0, 0, 1, 1]), LABELS[:2])
    raw = Prediction(np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
    decision = TASK.calibrate(spec_of(), known, raw)
    assert np.isfinite(TASK.finish(raw, decision).values).all()


def test_abstaining_reaches_the_precision_with_its_wilson_bound() -> None:
    known, raw = noisy()
    decision = TASK.calibrate(spec_of(serve={"abstain_precision": 0.9}), known, raw)
    values = TASK.finish(raw, decision).values
    given = values.max(axis=1) >= decision.abstain_below
    right = values.argmax(axis=1) == known.target
    assert 0.2 < given.mean() < 1
    assert wilson(float(right[given].mean()), int(given.sum()))[0] >= 0.9
    # and nearly as many rows as can be: a few more break the promise
    more = values.max(axis=1) >= decision.abstain_below - 0.05
    assert wilson(float(right[more].mean()), int(more.sum()))[0] < 0.91
    statuses = [a.status for a in TASK.decode(Prediction(values), decision, LABELS)]
    assert statuses.count("abstained") == int((~given).sum())


def test_few_rows_can_not_promise_much() -> None:
    known, raw = noisy(n=12)
    decision = TASK.calibrate(spec_of(serve={"abstain_precision": 0.99}), known, raw)
    assert {a.status for a in TASK.decode(TASK.finish(raw, decision), decision, LABELS)} <= {"abstained", "out_of_scope"}


def test_a_threshold_by_hand_wins() -> None:
    known, raw = noisy(n=100)
    spec = spec_of(serve={"abstain_below": 0.7})
    assert TASK.calibrate(spec, known, raw).abstain_below == 0.7


def test_costs_move_the_answer_to_the_least_expected_cost() -> None:
    spec = spec_of(proof={"costs": {"bad": {"good": 5}}})
    known, raw = noisy(k=2)
    decision = TASK.calibrate(spec, known, raw)
    values = np.array([[0.1, 0.9], [0.2, 0.8], [0.5, 0.5]])  # good pays from 5/6 on
    said = [a.fields["label"] for a in TASK.decode(Prediction(values), decision, LABELS[:2])]
    assert said == ["good", "bad", "bad"]
    assert TASK.primary(spec) == "cost"
    assert TASK.metrics(spec, LABELS[:2])["cost"].of(np.array([0, 0, 1]), values) == pytest.approx(6 / 3)


def test_rows_far_from_all_are_out_of_scope() -> None:
    known, raw = noisy(n=1000)
    decision = TASK.calibrate(spec_of(serve={"in_scope_share": 0.9}), known, raw)
    answers = TASK.decode(TASK.finish(raw, decision), decision, LABELS)
    assert sum(a.status == "out_of_scope" for a in answers) == pytest.approx(100, abs=2)
    assert all(a.fields["label"] is None for a in answers if a.status == "out_of_scope")
    assert TASK.calibrate(spec_of(serve={"out_of_scope": False}), known, raw).outside_above is None
    assert TASK.calibrate(spec_of(), known, Prediction(raw.values)).outside_above is None


def test_names_that_are_not_there_are_refused() -> None:
    with pytest.raises(SpecError, match="metric"):
        TASK.primary(spec_of(proof={"metric": "acuracy"}))
    with pytest.raises(SpecError):
        TASK.metrics(spec_of(proof={"positive": "goood"}), LABELS)
    with pytest.raises(SpecError):
        TASK.metrics(spec_of(proof={"costs": {"bad": {"goood": 2}}}), LABELS)
    with pytest.raises(DataError):
        TASK.correct(TASK.decode(Prediction(np.eye(3)), Decision(), LABELS)[0], "goood", LABELS)
