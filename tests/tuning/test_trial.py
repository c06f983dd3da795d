"""A trial: what it may know, how it is scored, when it is cut short."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from tests.methods.texts import ask, examples, spec_of

from trunkline.methods import METHODS
from trunkline.methods.settings import named
from trunkline.methods.tunable import FoldByFold
from trunkline.proof.tuned import Choice
from trunkline.spec import Spec
from trunkline.tasks import TASKS
from trunkline.terminal import Ended
from trunkline.tuning.space import space_of
from trunkline.tuning.trial import (
    FOLD,
    SPARED,
    Bench,
    Outcome,
    Watch,
    frozen,
    next_params,
    out_of_fold,
    run,
    seen,
)

pytestmark = pytest.mark.usefixtures("one_thread")
NET = {"epochs": 2, "batch": 16, "folds": 2, "words": 200, "longest": 20}


def bench(spec: Spec, most: int = 1, rows: int = 45) -> Bench:
    known = examples(spec.task, rows)
    return Bench(spec, TASKS.get(spec.task)(), known, space_of(spec, known), ask, most)


def text_bench(most: int = 1, **tune: Any) -> Bench:
    return bench(spec_of("classify", {"text": "text"}, tune=tune), most)


def outcome(number: int, value: float, steps: dict[int, float], hidden: int = 8) -> Outcome:
    choice = Choice("mlp", {"hidden": hidden})
    return Outcome(number, choice, "done", value, params={"mlp.hidden": hidden}, steps=steps)


def test_a_trial_knows_those_well_before_it_and_waits_for_them() -> None:
    done = {number: outcome(number, 0.5, {}) for number in (0, 1, 2, 4)}
    assert seen(4, done, 4) == []
    assert seen(6, done, 4) == [done[1], done[2]]
    assert seen(7, done, 4) is None  # 3 is still running, though 4 has ended


def test_the_same_number_and_past_draw_the_same_and_other_numbers_do_not() -> None:
    made = text_bench(most=50)
    past = [run(made, number, []) for number in (1, 2)]
    first, second, other = (next_params(made, number, past) for number in (6, 6, 7))
    assert first == second
    assert first != other


def test_what_was_tried_is_not_drawn_again() -> None:
    made = text_bench(ranges={"knn": {"neighbours": {"low": 1, "high": 3}}}, most=1)
    past = [Outcome(n, Choice("knn", {"neighbours": n}), "done", 0.5, params={"knn.neighbours": n}) for n in (1, 2)]
    assert {next_params(made, number, past)["knn.neighbours"] for number in range(3, 9)} == {3}


@pytest.mark.parametrize(
    ("task", "method", "settings"),
    [
        ("classify", "mlp", {"hidden": 8}),
        ("multilabel", "cnn1d", NET),
        ("regress", "cnn1d", NET),
    ],
)
def test_fold_by_fold_gives_what_fit_gives_out_of_fold(
    task: str, method: str, settings: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path))
    made = bench(spec_of(task, {"text": "text"}))
    part = METHODS.get(method)()
    assert isinstance(part, FoldByFold)
    spec = named(made.spec, method, **settings)
    whole = part.fit(spec, made.examples, made.task.folds(made.examples, 5, 0), ask).out_of_fold.values
    parts = out_of_fold(made.spec, made, Choice(method, settings)).values
    np.testing.assert_allclose(parts, whole, rtol=1e-12)  # a softmax of fewer rows may round its last bit otherwise


def test_one_that_is_worse_than_the_middle_is_cut_short_by_its_fold() -> None:
    made = text_bench(ranges={"mlp": {"hidden": [2, 8, 16]}})
    better = [outcome(number, 2.0, {FOLD * fold: 2.0 for fold in range(1, 5)}) for number in range(1, SPARED + 1)]
    found = run(made, 1, better)
    assert (found.state, found.value, list(found.steps)) == ("pruned", None, [FOLD])
    assert "after fold 1" in found.why
    assert run(made, 1, better[:-1]).state == "done"  # too few to judge by


def test_epochs_count_too_and_only_against_the_own_method() -> None:
    made = text_bench(ranges={"mlp": {"hidden": [2, 8, 16]}})
    past = [outcome(number, 0.9, {3: 0.8}) for number in range(1, SPARED + 1)]
    watch = Watch(made, Choice("mlp"), past)
    watch.epoch("fold 1/2", 3, {"loss": 0.1, "accuracy": 0.85})
    watch = Watch(made, Choice("mlp"), past)
    with pytest.raises(Ended, match="epoch 3"):
        watch.epoch("fold 1/2", 3, {"loss": 0.1, "accuracy": 0.75})
    Watch(made, Choice("lstm"), past).epoch("fold 1/2", 3, {"loss": 0.1, "accuracy": 0.1})


def test_a_network_that_is_cut_short_leaves_no_checkpoints(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path))
    spec = spec_of("classify", {"text": "text"}, method={"name": "cnn1d", "settings": NET}, tune={"ranges": {"cnn1d": {"rate": [0.001, 0.002]}}})
    made = bench(spec, rows=150)  # enough to set some aside to judge an epoch by
    past = [
        Outcome(number, Choice("cnn1d", {**NET, "rate": 0.001}), "done", 2.0, params={"cnn1d.rate": 0.001}, steps={1: 2.0, 2: 2.0})
        for number in range(1, SPARED + 1)
    ]
    found = run(made, 1, past)
    assert (found.state, list(found.steps)) == ("pruned", [1])
    assert [path for path in (tmp_path / "training").rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_a_trial_that_can_not_be_is_told_with_its_reason() -> None:
    spec = spec_of("classify", {"text": "text"}, method={"head_mb": 0.0001}, tune={"ranges": {"linear": {"penalty": [0.1, 1.0]}}})
    found = run(bench(spec), 1, [])
    assert (found.state, found.value) == ("failed", None)
    assert "larger than its budget" in found.why


def test_an_outcome_comes_back_as_it_was_from_what_optuna_keeps() -> None:
    made = text_bench(ranges={"mlp": {"hidden": [2, 8, 16]}})
    kept = frozen(made.space, outcome(3, 1 / 3, {FOLD: 0.1, 2 * FOLD: 0.2}))
    again = msgspec.json.decode(next(iter(kept.user_attrs.values())), type=Outcome)
    assert again == outcome(3, 1 / 3, {FOLD: 0.1, 2 * FOLD: 0.2})
    assert kept.value == 1 / 3
