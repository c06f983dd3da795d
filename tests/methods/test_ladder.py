from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pytest
from tests.methods.texts import ask, examples, spec_of

from trunkline.errors import TrainError
from trunkline.heads.constant import ConstantHead
from trunkline.methods import METHODS, ladder
from trunkline.methods.ladder import climb, learning_curve, order
from trunkline.methods.ngrams import Ngrams
from trunkline.spec import Spec
from trunkline.tasks import TASKS
from trunkline.types import Ask, Candidate, Examples, Folds, Prediction, Refused

CLASSIFY = TASKS.get("classify")()


class Guess:
    """Right on `share` of the rows, out of fold."""

    name: ClassVar[str] = "guess"
    share: ClassVar[float] = 0.5
    seed: ClassVar[int] = 0
    sure: ClassVar[float] = 0.9

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        return None

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        n, k = len(examples), len(examples.labels)
        right = np.random.default_rng(self.seed).permutation(n) < self.share * n
        said = np.where(right, examples.target, (examples.target + 1) % k)
        values = np.full((n, k), (1 - self.sure) / (k - 1))
        values[np.arange(n), said] = self.sure
        return Candidate(ConstantHead(np.full(k, 1 / k)), Prediction(values), {})


class Low(Guess):
    name = "low"


class Tie(Guess):
    name = "tie"
    share = 0.51
    seed = 1


class High(Guess):
    name = "high"
    share = 0.9


class Never(Guess):
    name = "never"

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        return Refused("cannot", "never reads nothing")


class Broken(Guess):
    name = "broken"

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        raise TrainError("the head of broken is larger than its budget")


PARTS = (Low, Tie, High, Never, Broken)


@pytest.fixture
def rungs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for part in PARTS:
        METHODS.register(part.name, part)
    monkeypatch.setattr(ladder, "TEXT", ("low", "never", "tie", "broken", "high"))
    yield
    for part in PARTS:
        METHODS.unregister(part.name)


@pytest.mark.usefixtures("rungs")
def test_a_rung_stays_only_if_its_gain_is_clear() -> None:
    found = climb(spec_of(), CLASSIFY, examples(n=200), ask)
    assert [(r.method, r.kept) for r in found.rungs] == [("low", True), ("tie", False), ("high", True)]
    assert found.method == "high"
    assert set(found.tried) == {"low", "tie", "high"}
    first, tie, high = found.rungs
    assert first.gain is None
    assert tie.gain is not None
    assert tie.gain.low < 0 < tie.gain.high
    assert high.gain is not None
    assert high.gain.value == pytest.approx(0.4)  # over `low`, the rung that was kept
    assert high.value.value == pytest.approx(0.9)


@pytest.mark.usefixtures("rungs")
def test_a_named_method_that_fails_is_an_error_with_its_own_words() -> None:
    with pytest.raises(TrainError, match="larger than its budget"):
        climb(spec_of(method={"name": "broken"}), CLASSIFY, examples(), ask)
    with pytest.raises(TrainError, match="never reads nothing"):
        climb(spec_of(method={"name": "never"}), CLASSIFY, examples(), ask)


def test_the_order_follows_kinds_and_rows() -> None:
    assert order(spec_of(), examples(n=300))[0] == "ngrams"
    assert order(spec_of(), examples(n=30))[0] == "linear"
    assert order(spec_of(inputs={"size": "number"}), examples()) == ["tabular", "boosting"]
    assert "boosting" in order(spec_of(inputs={"text": "text", "size": "number"}), examples())
    assert order(spec_of(method={"name": "knn"}), examples()) == ["knn"]


def test_one_row_a_class_keeps_the_first_rung() -> None:
    every = examples()
    few = every.take(np.array([int(np.flatnonzero(every.target == c)[0]) for c in range(3)]))
    found = climb(spec_of(), CLASSIFY, few, ask)
    assert found.method == "linear"
    assert len(found.rungs) == 3


def test_parts_that_were_learned_are_not_learned_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[int] = []

    class Counted(Ngrams):
        def fit_within(self, spec: Spec, examples: Examples, folds: Folds, budget: int) -> Candidate:
            fits.append(budget)
            return super().fit_within(spec, examples, folds, budget)

    monkeypatch.setattr("trunkline.methods.fused.Ngrams", Counted)
    monkeypatch.setitem(METHODS._parts, "ngrams", Counted)
    climb(spec_of(), CLASSIFY, examples(n=120), ask)
    assert len(fits) == 1


def test_the_learning_curve_rises_to_the_value_of_all_rows() -> None:
    known, spec = examples(n=240), spec_of(method={"name": "ngrams"})
    climbed = climb(spec, CLASSIFY, known, ask)
    points = learning_curve(spec, CLASSIFY, known, climbed, ask)
    assert [p.rows for p in points] == [15, 30, 60, 192]
    assert points[-1].value == climbed.rungs[-1].value
    assert points[0].value.value <= points[-1].value.value + 0.02
