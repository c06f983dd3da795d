"""Boosted trees: learn what no line can, keep to folds and budget, are served as LightGBM answers."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
import pytest
from msgspec.structs import replace as replace_struct
from numpy.typing import NDArray
from tests.methods.tables import KINDS, examples_of, folds_of, no_engine, signal, spec_of

from trunkline.errors import SpecError, TrainError
from trunkline.heads.tree_arrays import TreeArrays
from trunkline.heads.trees import TreesHead
from trunkline.methods import boosting
from trunkline.methods.boosting import Boosting
from trunkline.methods.lightgbm_model import tree_arrays
from trunkline.program import one
from trunkline.types import Call, Candidate, Examples, Inputs, Outputs

QUICK: dict[str, Any] = {"name": "boosting", "settings": {"learning_rate": 0.2, "num_leaves": 5}}


def _fit(kind: str, **method: Any) -> tuple[Candidate, Examples]:
    examples = examples_of(kind)
    spec = spec_of({"two": "classify", "many": "classify"}.get(kind, kind), **(method or QUICK))
    return Boosting().fit(spec, examples, folds_of(len(examples)), no_engine), examples


@pytest.mark.parametrize(("kind", "at_least"), [("two", 0.83), ("many", 0.7)])
def test_classes_are_learned_and_served_as_learned(kind: str, at_least: float) -> None:
    candidate, _ = _fit(kind)
    fresh = examples_of(kind, seed=50)
    meta, arrays = candidate.head.save()
    values = one(TreesHead.load(meta, arrays).run(fresh.inputs), no_engine).values
    assert values.shape == (300, len(fresh.labels))
    np.testing.assert_allclose(values.sum(axis=1), 1)
    assert (values.argmax(axis=1) == fresh.target).mean() >= at_least
    np.testing.assert_array_equal(one(candidate.head.run(fresh.inputs[7:8]), no_engine).values[0], values[7])


def test_the_head_answers_as_lightgbm_does(monkeypatch: pytest.MonkeyPatch) -> None:
    models: list[str] = []

    def read(texts: Sequence[str]) -> TreeArrays:
        models.extend(texts)
        return tree_arrays(texts)

    monkeypatch.setattr("trunkline.methods.boosting.tree_arrays", read)
    candidate, _ = _fit("two")
    head = candidate.head
    assert isinstance(head, TreesHead)
    rows: list[Inputs] = [
        *examples_of("two", seed=9).inputs,
        {"income": math.nan, "since": math.nan, "member": math.nan, "职业": "never seen"},
    ]  # fmt: skip
    features = head.reader.read(rows)
    wanted = lightgbm.Booster(model_str=models[-1]).predict(features, raw_score=True, num_threads=1)
    np.testing.assert_array_equal(head.forest.score(features)[:, 0], wanted)


def test_an_interaction_no_line_can_learn() -> None:
    examples = examples_of("two", 600)
    both = np.array([(row["income"] > 30) != (row["职业"] in ("nurse", "farmer")) for row in examples.inputs])
    spec = spec_of("classify", **QUICK)
    candidate = Boosting().fit(
        spec, replace(examples, target=both.astype(np.int64)), folds_of(600), no_engine
    )
    assert ((candidate.out_of_fold.values[:, 1] > 0.5) == both).mean() > 0.93


def test_out_of_fold_never_saw_its_row() -> None:
    examples = examples_of("two")
    candidate, _ = _fit("two")
    noise = replace(examples, target=np.random.default_rng(5).integers(0, 2, 300))
    learned_noise = Boosting().fit(spec_of("classify", **QUICK), noise, folds_of(300), no_engine)
    assert ((learned_noise.out_of_fold.values[:, 1] > 0.5) == noise.target).mean() < 0.6
    assert ((candidate.out_of_fold.values[:, 1] > 0.5) == examples.target).mean() > 0.8


def test_numbers_are_learned() -> None:
    candidate, _ = _fit("regress")
    fresh = examples_of("regress", seed=50)
    values = one(candidate.head.run(fresh.inputs), no_engine).values
    assert values.shape == (300,)
    assert np.corrcoef(values, signal(fresh.inputs))[0, 1] > 0.93


def test_labels_are_learned_one_by_one_even_one_that_never_holds() -> None:
    candidate, examples = _fit("multilabel")
    values = candidate.out_of_fold.values
    assert values.shape == (300, 3)
    assert (((values[:, :2] > 0.5) == examples.target[:, :2]).mean(axis=0) > 0.8).all()
    assert (values[:, 2] < 0.05).all()
    assert len(candidate.settings["labels"]) == 3
    served = one(candidate.head.run(examples.inputs), no_engine).values
    assert (((served[:, :2] > 0.5) == examples.target[:, :2]).mean(axis=0) > 0.8).all()


def _vectors(calls: Sequence[Call]) -> Outputs:
    """A toy trunk: one direction tells the two sorts of texts apart, the rest is noise by text."""
    out = []
    for call in calls:
        assert call.engine == "trunk:hash"
        rng = [np.random.default_rng(len(text) + sum(map(ord, text))) for text in call.items]
        rows = [
            [float("好" in text or "good" in text), *r.normal(size=7)]
            for text, r in zip(call.items, rng, strict=True)
        ]
        out.append(np.array(rows, np.float32))
    return out


@pytest.mark.parametrize("kind", ["two", "many", "regress", "multilabel"])
def test_texts_count_beside_columns(kind: str) -> None:
    liked = np.random.default_rng(3).integers(0, 2, 300)
    words = (("bad", "差"), ("good", "好"))
    examples = examples_of(kind)
    rows = [
        {**row, "note": f"{words[k][i % 2]} {i}"}
        for i, (row, k) in enumerate(zip(examples.inputs, liked, strict=True))
    ]
    target: NDArray[Any] = liked.astype(np.float64) if kind == "regress" else liked
    if kind == "multilabel":
        target = np.column_stack([liked > 0, liked < 1, liked < 0])
    task = {"two": "classify", "many": "classify"}.get(kind, kind)
    spec = replace_struct(spec_of(task, {**KINDS, "note": "text"}, **QUICK), trunks={"text": "hash"})
    candidate = Boosting().fit(spec, replace(examples, inputs=rows, target=target), folds_of(300), _vectors)
    meta, arrays = candidate.head.save()
    for values in (
        candidate.out_of_fold.values,
        one(TreesHead.load(meta, arrays).run(rows), _vectors).values,
    ):
        positive = {"two": values[..., -1], "many": values[..., -2], "multilabel": values[..., 0]}
        assert ((positive.get(kind, values) > 0.5) == liked).mean() > 0.97


def test_rounds_are_cut_to_the_budget() -> None:
    free, _ = _fit("many")
    small, examples = _fit("many", head_mb=0.004, **QUICK)
    size = sum(array.nbytes for array in small.head.save()[1].values())
    assert 0 < size <= 4000 < sum(array.nbytes for array in free.head.save()[1].values())
    assert small.settings["rounds"] < free.settings["rounds"]
    assert small.out_of_fold.values.shape == (300, 3)
    assert (small.out_of_fold.values.argmax(axis=1) == examples.target).mean() > 0.55
    with pytest.raises(TrainError, match="not even one round"):
        _fit("many", head_mb=0.0001, **QUICK)


def test_the_same_seed_gives_the_same_head_and_another_seed_another() -> None:
    examples = examples_of("two")
    spec = spec_of("classify", **QUICK)
    other = replace_struct(spec, seed=1)
    a, b, c = (
        Boosting().fit(s, examples, folds_of(300), no_engine).head.save()[1]["leaf"]
        for s in (spec, spec, other)
    )
    np.testing.assert_array_equal(a, b)
    assert a.shape != c.shape or (a != c).any()


def test_settings_are_used_and_unknown_ones_refused() -> None:
    assert _fit("two")[0].settings["num_leaves"] == 5
    with pytest.raises(SpecError, match="did you mean 'num_leaves'"):
        _fit("two", name="boosting", settings={"num_leafs": 2})
    chosen, _ = _fit("two", name="auto")
    assert chosen.settings["num_leaves"] in {shape["num_leaves"] for shape in boosting.SHAPES}


@pytest.mark.parametrize(
    ("rows", "leaves", "rate"), [(500, [31, 15, 7], 0.05), (5000, [31, 15, 7], 0.1), (50_000, [31, 15], 0.1)]
)
def test_shapes_follow_the_number_of_rows(rows: int, leaves: list[int], rate: float) -> None:
    shapes = boosting._shapes(boosting.BoostingSettings(), rows)
    assert [shape["num_leaves"] for shape in shapes] == leaves
    assert {shape["learning_rate"] for shape in shapes} == {rate}


def test_what_it_can() -> None:
    examples = examples_of("two")
    assert Boosting().can(spec_of("classify"), examples) is None
    assert Boosting().can(spec_of("classify", {**KINDS, "note": "text"}), examples) is None
    for spec, rows, why in (
        (spec_of("classify", {"note": "text"}), examples, "needs a number"),
        (spec_of("classify"), examples.take(range(20)), "rows"),
        (spec_of("classify"), replace(examples, labels=tuple(map(str, range(60)))), "labels"),
    ):
        refused = Boosting().can(spec, rows)
        assert refused is not None
        assert why in refused.message
