from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pytest
from tests.methods.texts import ask, examples, spec_of

from trunkline.errors import TrainError
from trunkline.heads.constant import ConstantHead
from trunkline.methods import METHODS, ladder
from trunkline.methods.ladder import climb, order
from trunkline.spec import Spec
from trunkline.tasks import TASKS
from trunkline.types import Ask, Candidate, Examples, Folds, Method, Prediction, Refused

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


class Near(Guess):
    """Wrong more often than High, but then it nearly said the right label: less log loss, lower accuracy."""

    name = "near"
    share = 0.8

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        found = super().fit(spec, examples, folds, ask)
        said, rows = found.out_of_fold.values.argmax(axis=1), np.arange(len(examples))
        wrong = said != examples.target
        values = np.full_like(found.out_of_fold.values, 0.005)
        values[rows, examples.target] = np.where(wrong, 0.49, 0.99)
        values[rows[wrong], said[wrong]] = 0.505
        return Candidate(found.head, Prediction(values), {})


class Never(Guess):
    name = "never"

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        return Refused("cannot", "never reads nothing")


class Broken(Guess):
    name = "broken"

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        raise TrainError("the head of broken is larger than its budget")


PARTS = (Low, Tie, High, Near, Never, Broken)


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
def test_without_a_trunk_a_lower_loss_is_enough_unless_it_is_clearly_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "TABLE", ("low", "tie", "high", "low", "near"))
    found = climb(spec_of(inputs={"size": "number"}), CLASSIFY, examples(n=200), ask)
    assert [(r.method, r.kept) for r in found.rungs] == [
        ("low", True), ("tie", True), ("high", True), ("low", False), ("near", False)
    ]  # fmt: skip
    notes = [rung.note for rung in found.rungs]
    assert "microseconds" in notes[1]
    assert notes[3] == "its log_loss is no better"
    assert "clearly worse" in notes[4]


@pytest.mark.parametrize("task", ["regress", "multilabel"])
def test_without_a_log_loss_the_primary_metric_decides(task: str) -> None:
    found = climb(spec_of(task, {"size": "number", "shop": "category"}), TASKS.get(task)(), examples(task, n=120), ask)
    assert [rung.method for rung in found.rungs] == ["tabular", "boosting", "blend"]
    best = found.rungs[0]
    for rung in found.rungs[1:]:
        sign = -1 if task == "regress" else 1
        assert rung.kept == (sign * rung.value.value > sign * best.value.value)
        best = rung if rung.kept else best
    assert found.method == best.method


@pytest.mark.usefixtures("rungs")
@pytest.mark.parametrize(("adapting", "tried"), [(("high", "tie"), ["low", "high", "tie"]), (("tie", "high"), ["low", "tie"])])
def test_the_first_adapting_rung_that_brings_nothing_is_the_last(
    adapting: tuple[str, ...], tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "TEXT", ("low",))
    monkeypatch.setattr(ladder, "ADAPT", adapting)
    found = climb(spec_of(method={"adapt": True}), CLASSIFY, examples(n=200), ask)
    assert [rung.method for rung in found.rungs] == tried
    assert found.method == ("high" if "high" in tried else "low")


@pytest.mark.usefixtures("rungs")
def test_less_log_loss_alone_keeps_no_adapted_trunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right where the first rung is, and less wrong elsewhere: kept where it is cheap, not where it costs minutes."""
    monkeypatch.setattr(Near, "share", Low.share)
    monkeypatch.setattr(ladder, "TEXT", ("low", "near"))
    cheap = climb(spec_of(), CLASSIFY, examples(n=200), ask).rungs[1]
    monkeypatch.setattr(ladder, "TEXT", ("low",))
    monkeypatch.setattr(ladder, "ADAPT", ("near",))
    dear = climb(spec_of(method={"adapt": True}), CLASSIFY, examples(n=200), ask).rungs[1]
    assert cheap.gain == dear.gain
    assert (cheap.kept, dear.kept) == (True, False)


def test_trunks_are_adapted_only_where_the_product_says_so() -> None:
    for inputs, task in (({"text": "text"}, "classify"), ({"text": "text"}, "tag"), ({"photo": "image"}, "classify")):
        plain = order(spec_of(task, inputs), examples(n=300))
        assert not set(plain) & set(ladder.ADAPT)
        assert order(spec_of(task, inputs, method={"adapt": True}), examples(n=300)) == [*plain, *ladder.ADAPT]
    assert order(spec_of(inputs={"size": "number"}, method={"adapt": True}), examples()) == ["tabular", "boosting", "blend"]


@pytest.mark.usefixtures("rungs")
def test_a_named_method_that_fails_is_an_error_with_its_own_words() -> None:
    with pytest.raises(TrainError, match="larger than its budget"):
        climb(spec_of(method={"name": "broken"}), CLASSIFY, examples(), ask)
    with pytest.raises(TrainError, match="never reads nothing"):
        climb(spec_of(method={"name": "never"}), CLASSIFY, examples(), ask)


def test_the_order_follows_kinds_and_rows() -> None:
    assert order(spec_of(), examples(n=300))[0] == "ngrams"
    assert order(spec_of(), examples(n=30))[0] == "linear"
    assert order(spec_of(inputs={"size": "number"}), examples()) == ["tabular", "boosting", "blend"]
    mixed = order(spec_of(inputs={"text": "text", "size": "number"}), examples())
    assert mixed[-1] == "boosting"
    assert "blend" not in mixed
    assert order(spec_of(method={"name": "knn"}), examples()) == ["knn"]


def test_one_row_a_class_keeps_the_first_rung() -> None:
    every = examples()
    few = every.take(np.array([int(np.flatnonzero(every.target == c)[0]) for c in range(3)]))
    found = climb(spec_of(), CLASSIFY, few, ask)
    assert found.method == "linear"
    assert len(found.rungs) == 3


@pytest.mark.parametrize(("joint", "part"), [("fused", "ngrams"), ("fused", "linear"), ("blend", "tabular"), ("blend", "boosting")])
def test_parts_that_were_learned_are_not_learned_again(joint: str, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    learned: list[str] = []
    method = METHODS.get(part)
    fit = method.fit

    def counted(self: Method, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        learned.append(part)
        return fit(self, spec, examples, folds, ask)

    monkeypatch.setattr(method, "fit", counted)
    inputs = {"text": "text"} if joint == "fused" else {"size": "number", "shop": "category"}
    found = climb(spec_of(inputs=inputs), CLASSIFY, examples(n=120), ask)
    assert learned == [part]
    assert joint in found.tried


@pytest.mark.parametrize(
    ("inputs", "wanted"),
    [
        ({"image": "image"}, ["linear"]),
        ({"image": "image", "price": "number"}, ["linear", "boosting"]),
        ({"image": "image", "text": "text"}, ["ngrams", "linear", "fused"]),
        ({"image": "image", "text": "text", "price": "number"}, ["ngrams", "linear", "fused", "boosting"]),
    ],
)
def test_rungs_of_pictures_and_what_stands_beside_them(inputs: dict[str, str], wanted: list[str]) -> None:
    assert order(spec_of(inputs=inputs), examples(n=100)) == wanted
