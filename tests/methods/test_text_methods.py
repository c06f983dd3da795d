"""What each text method is for, beyond the contract that all of them pass (tests/contracts)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.methods.texts import ask, examples, pair, spec_of

from trunkline.errors import SpecError, TrainError
from trunkline.heads.blend import scores_of
from trunkline.heads.linear import LinearHead
from trunkline.heads.neighbours import NeighboursHead
from trunkline.lexical import count_ngrams
from trunkline.methods import METHODS
from trunkline.methods.dense_rows import size_of
from trunkline.methods.fused import Fused
from trunkline.methods.linear import Linear
from trunkline.methods.ngrams import Ngrams, choose_lexicon
from trunkline.program import one
from trunkline.tasks import TASKS
from trunkline.types import Candidate, Examples


def learn(name: str, known: Examples, task: str = "classify", **keys: Any) -> Candidate:
    spec = spec_of(task, **keys)
    return METHODS.get(name)().fit(spec, known, TASKS.get(task)().folds(known, 5, 0), ask)


@pytest.mark.parametrize("name", ["linear", "ngrams", "fused", "prototype", "knn", "mlp"])
def test_new_rows_of_both_languages_are_answered_right(name: str) -> None:
    test = examples(n=60, seed=1)
    found = one(learn(name, examples()).head.run(test.inputs), ask)
    right = found.values.argmax(axis=1) == test.target
    chinese = np.array([any(c > "一" for c in str(row["text"])) for row in test.inputs])
    assert right[chinese].mean() > 0.8
    assert right[~chinese].mean() > 0.8


@pytest.mark.parametrize("name", ["linear", "ngrams", "fused", "knn", "mlp"])
def test_numbers_far_from_one_are_learned(name: str) -> None:
    known, test = examples("regress"), examples("regress", n=60, seed=1)
    candidate = learn(name, known, "regress")
    gap = np.abs(one(candidate.head.run(test.inputs), ask).values - test.target)
    assert np.median(gap) < 0.5 * np.median(np.abs(test.target - np.median(known.target)))


@pytest.mark.parametrize("name", ["linear", "ngrams", "fused", "prototype", "knn", "mlp"])
@pytest.mark.parametrize("a_class", [1, 2])
def test_one_or_two_rows_a_class_are_enough_to_begin(name: str, a_class: int) -> None:
    every = examples()
    few = every.take(np.sort(np.concatenate([np.flatnonzero(every.target == c)[:a_class] for c in range(3)])))
    found = one(learn(name, few).head.run(few.inputs), ask)
    assert (found.values.argmax(axis=1) == few.target).all()


@pytest.mark.parametrize("two", [True, False])
@pytest.mark.parametrize("name", ["linear", "ngrams", "fused", "prototype", "knn", "mlp"])
def test_strangers_lie_further_outside_than_training_rows(name: str, two: bool) -> None:
    """With two classes as well, where any direction is near one of two opposite means."""
    candidate = learn(name, pair() if two else examples())
    strangers = [{"text": t} for t in ("zzz qqq xxx www", "12345 67890", "天气预报说今天下雨")]
    found = one(candidate.head.run(strangers), ask)
    assert found.outside is not None
    assert candidate.out_of_fold.outside is not None
    assert float(found.outside.min()) > float(np.median(candidate.out_of_fold.outside))


def test_ngrams_that_only_ones_own_fold_has_are_unknown_out_of_fold() -> None:
    candidate = learn("ngrams", examples())
    served = one(candidate.head.run(examples().inputs), ask).outside
    assert served is not None
    assert candidate.out_of_fold.outside is not None
    assert not served.any()  # so few rows that the lexicon holds all of them
    assert 0.02 < candidate.out_of_fold.outside.mean() < 0.5


def test_the_lexicon_fills_the_budget_and_no_more() -> None:
    known = examples(n=200)
    for mb in (0.004, 0.01):
        size = size_of(learn("ngrams", known, method={"head_mb": mb}).head)
        assert 0.75 * mb * 1e6 < size <= 0.85 * mb * 1e6
        assert size_of(learn("fused", known, method={"head_mb": mb}).head) <= mb * 1e6
        assert size_of(learn("knn", known, method={"head_mb": mb}).head) <= mb * 1e6


def test_a_budget_too_small_is_an_error_not_a_larger_head() -> None:
    with pytest.raises(TrainError, match=r"larger than its budget|no row fits"):
        learn("linear", examples(), method={"head_mb": 0.0001})
    with pytest.raises(TrainError, match=r"larger than its budget|no row fits"):
        learn("knn", examples(), method={"head_mb": 0.0001})


def test_frequent_ngrams_are_kept_first() -> None:
    counts = count_ngrams([["blue card"] * 5 + ["green"]])
    small = choose_lexicon(counts, 4)
    assert set(small.hashes.tolist()) < set(count_ngrams([["blue card"]]).hash.tolist())


def test_settings_are_read_and_unknown_ones_refused() -> None:
    assert learn("linear", examples(), method={"name": "linear", "settings": {"penalty": 3.0}}).settings["penalty"] == 3.0
    assert learn("knn", examples(), method={"name": "knn", "settings": {"neighbours": 7}}).settings["neighbours"] == 7
    with pytest.raises(SpecError, match="penalti"):
        learn("linear", examples(), method={"name": "linear", "settings": {"penalti": 1}})
    with pytest.raises(SpecError, match="neighbours"):
        learn("fused", examples(), method={"name": "fused", "settings": {"neighbours": 1}})
    # the n-gram baseline of a product with settings for another method ignores them
    learn("ngrams", examples(), method={"name": "linear", "settings": {"penalty": 3.0}})


@pytest.mark.parametrize("two", [True, False])
def test_a_fused_head_says_what_its_two_parts_say_together(two: bool) -> None:
    known, link = (pair(), "logistic") if two else (examples(), "softmax")
    spec, folds = spec_of(), TASKS.get("classify")().folds(known, 5, 0)
    parts = {"linear": Linear().fit(spec, known, folds, ask), "ngrams": Ngrams().fit(spec, known, folds, ask)}
    fused = Fused().join(spec, known, folds, ask, parts)
    values = {name: one(c.head.run(known.inputs), ask) for name, c in {**parts, "fused": fused}.items()}
    scores = {name: scores_of(p.values, link) for name, p in values.items()}
    a, b = fused.settings["weights"]
    gap = scores["fused"] - (a * scores["linear"] + b * scores["ngrams"])
    wanted = gap - gap.mean(axis=1, keepdims=True) if link == "softmax" else gap
    clear = np.abs(scores["fused"]).max(axis=1) < 20
    assert np.abs(wanted[clear]).max() < 0.02
    assert isinstance(fused.head, LinearHead)


def test_prototype_keeps_one_point_a_class() -> None:
    head = learn("prototype", examples()).head
    assert isinstance(head, NeighboursHead)
    assert len(head.points) == 3


def test_knn_keeps_each_class_its_share() -> None:
    head = learn("knn", examples(n=300), method={"head_mb": 0.004}).head
    assert isinstance(head, NeighboursHead)
    counts = head.targets.sum(axis=0)
    assert counts.sum() < 90
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(
    ("name", "task", "inputs", "keys"),
    [
        ("linear", "classify", {"size": "number"}, {}),
        ("ngrams", "classify", {"size": "number"}, {}),
        ("fused", "classify", {"text": "text"}, {"trunks": {"text": "none"}}),
        ("prototype", "regress", {"text": "text"}, {}),
        ("knn", "classify", {"text": "text", "size": "number"}, {}),
    ],
)
def test_what_a_method_can_not_do_it_says(name: str, task: str, inputs: dict[str, str], keys: dict[str, Any]) -> None:
    refused = METHODS.get(name)().can(spec_of(task, inputs, **keys), examples(task))
    assert refused is not None
    assert name in refused.message
