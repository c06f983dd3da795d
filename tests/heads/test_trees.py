"""Trees in numpy against LightGBM itself: equal to the last bit, whatever the cells and the batch."""

import json
import math
from collections.abc import Sequence
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.columns import Column, ColumnReader
from trunkline.errors import BundleError
from trunkline.heads.tree_arrays import Forest, TreeArrays
from trunkline.heads.trees import TextScores, TreesHead
from trunkline.methods.lightgbm_model import tree_arrays
from trunkline.program import one
from trunkline.types import Call, Outputs

QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True}
COLUMNS, CATEGORICAL = 5, [3, 4]
LIGHTGBM_ZERO = float(np.float32(1e-35))
EDGES = (
    math.nan,
    0.0,
    -0.0,
    LIGHTGBM_ZERO,
    -LIGHTGBM_ZERO,
    1e-36,
    -1e-36,
    1e-34,
    math.inf,
    -math.inf,
    1e300,
    -1e300,
)


def _table(rng: np.random.Generator, n: int, missing: float) -> NDArray[np.float64]:
    table = np.round(rng.normal(size=(n, COLUMNS)), 1)  # many ties, so that thresholds lie between few values
    table[:, CATEGORICAL] = rng.integers(0, [7, 70], size=(n, 2))  # 70 codes: more than one word of bits
    table[rng.random(table.shape) < missing] = np.nan
    table[rng.random(table.shape) < 0.1] = 0
    return table


def _train(
    seed: int, params: dict[str, Any], missing: float, rounds: int = 8
) -> tuple[lightgbm.Booster, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    table = _table(rng, 300, missing)
    signal = np.nan_to_num(table[:, 0]) + (np.nan_to_num(table[:, 4]) % 3) + np.isnan(table[:, 1])
    target = (
        signal
        if params["objective"] == "regression"
        else np.digitize(signal, np.quantile(signal, [0.4, 0.7]))
    )
    if params["objective"] == "binary":
        target = (target > 0).astype(float)
    data = lightgbm.Dataset(table, target, categorical_feature=CATEGORICAL, params=QUIET)
    defaults = {"min_data_in_leaf": 3, "min_data_per_group": 3, "cat_smooth": 1}
    return lightgbm.train({**QUIET, **defaults, **params}, data, rounds), table


def _hard_rows(rng: np.random.Generator, trees: TreeArrays) -> NDArray[np.float64]:
    """Usual rows, then rows full of edges: exact thresholds, neighbours of them, unseen codes, NaN."""
    rows = _table(rng, 120, 0.3)
    at = trees.threshold[(trees.decision & 1) == 0]
    numbers = np.concatenate([at, np.nextafter(at, -np.inf), np.nextafter(at, np.inf), EDGES])
    codes = np.array([-1, -0.5, 0.7, 3.999, 6, 31, 32, 63, 64, 69, 70, 95, 96, 127, 128, 500, 1e9, math.nan])
    rows[40:, :3] = rng.choice(numbers, size=(80, 3))
    rows[40:, 3:] = rng.choice(codes, size=(80, 2))
    return rows


def _equal(booster: lightgbm.Booster, rows: NDArray[np.float64], outputs: int) -> None:
    loaded = TreeArrays.load(tree_arrays([booster.model_to_string()]).save(), COLUMNS, outputs)
    forest = Forest(loaded, outputs)
    wanted = np.asarray(booster.predict(rows, raw_score=True, num_threads=1)).reshape(len(rows), outputs)
    got = forest.score(rows)
    np.testing.assert_array_equal(got, wanted)  # no tolerance: equal bit for bit
    for i in range(0, len(rows), 9):
        np.testing.assert_array_equal(forest.score(rows[i : i + 1])[0], got[i])


OBJECTIVES = {"binary": 1, "regression": 1, "multiclass": 3}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    objective=st.sampled_from(sorted(OBJECTIVES)),
    missing=st.sampled_from([0.0, 0.3]),
    leaves=st.integers(2, 20),
    zero_as_missing=st.booleans(),
    use_missing=st.booleans(),
)
def test_scores_equal_lightgbm_bit_for_bit(
    seed: int, objective: str, missing: float, leaves: int, zero_as_missing: bool, use_missing: bool
) -> None:
    params: dict[str, Any] = {
        "objective": objective, "num_leaves": leaves, "zero_as_missing": zero_as_missing, "use_missing": use_missing
    }  # fmt: skip
    if objective == "multiclass":
        params["num_class"] = 3
    booster, _ = _train(seed, params, missing)
    trees = tree_arrays([booster.model_to_string()])
    _equal(booster, _hard_rows(np.random.default_rng(seed), trees), OBJECTIVES[objective])


@pytest.mark.parametrize(
    ("wanted", "params", "missing"),
    [(0, {"use_missing": False}, 0.3), (1, {"zero_as_missing": True}, 0.3), (2, {}, 0.3)],
)
def test_every_way_of_missing_and_categories_are_covered(
    wanted: int, params: dict[str, Any], missing: float
) -> None:
    booster, _ = _train(1, {"objective": "binary", "num_leaves": 15, **params}, missing)
    trees = tree_arrays([booster.model_to_string()])
    assert wanted in (trees.decision[(trees.decision & 1) == 0] >> 2) & 3
    assert (trees.decision & 1).any()  # categorical nodes too
    _equal(booster, _hard_rows(np.random.default_rng(1), trees), 1)


def test_trees_of_one_leaf_and_of_a_constant_target() -> None:
    booster, table = _train(0, {"objective": "binary", "min_data_in_leaf": 1000}, 0.0, rounds=3)
    _equal(booster, table, 1)


def test_models_side_by_side_fill_outputs_in_order() -> None:
    first, table = _train(1, {"objective": "binary", "num_leaves": 5}, 0.1)
    second, _ = _train(2, {"objective": "binary", "num_leaves": 9}, 0.1, rounds=3)
    forest = Forest(tree_arrays([first.model_to_string(), second.model_to_string()]), 2)
    wanted = np.column_stack([np.asarray(b.predict(table, raw_score=True)) for b in (first, second)])
    np.testing.assert_array_equal(forest.score(table), wanted)


READER = ColumnReader(
    [*(Column(f"x{i}", "number") for i in range(3)), Column("c", "category", tuple("abcdefg")),
     Column("d", "category", tuple(str(i) for i in range(70)))]
)  # fmt: skip


def _head(texts: Sequence[TextScores] = ()) -> TreesHead:
    booster, _ = _train(3, {"objective": "binary", "num_leaves": 12}, 0.2)
    return TreesHead(READER, tree_arrays([booster.model_to_string()]), "logistic", 1, texts)


def _no_engine(calls: Sequence[Call]) -> Outputs:
    raise AssertionError("a table asks for no engine")


ROWS: list[dict[str, Any]] = [
    {"x0": 0.3, "x1": math.nan, "x2": 1.0, "c": "a", "d": "69"},
    {"x0": -2.0, "x1": 0.0, "x2": math.nan, "c": "new", "d": None},
    {"x0": 5.0, "x1": 1.0, "x2": -1.0, "c": None, "d": "3"},
]


def test_a_head_answers_alike_alone_and_in_a_batch_and_after_loading() -> None:
    head = _head()
    meta, arrays = head.save()
    again = TreesHead.load(json.loads(json.dumps(meta)), arrays)
    whole = one(head.run(ROWS), _no_engine).values
    assert whole.shape == (3, 2)
    np.testing.assert_allclose(whole.sum(axis=1), 1)
    np.testing.assert_array_equal(one(again.run(ROWS), _no_engine).values, whole)
    for i, row in enumerate(ROWS):
        np.testing.assert_array_equal(one(again.run([row]), _no_engine).values[0], whole[i])


def test_text_scores_are_the_features_after_the_columns() -> None:
    text = TextScores("note", "trunk:hash", np.array([[2.0], [0.0]], np.float32), np.array([0.5]))
    reader = ColumnReader([Column("x", "number")])
    one_split = {
        "nodes": np.array([1]), "output": np.array([0]), "feature": np.array([1]), "threshold": np.array([1.0]),
        "decision": np.array([0], np.uint8), "left": np.array([-1]), "right": np.array([-2]),
        "leaf": np.array([10.0, 20.0]), "bits": np.empty(0, np.uint32), "bounds": np.array([0]),
    }  # fmt: skip
    head = TreesHead(reader, TreeArrays(**one_split), "identity", 1, [text])
    meta, arrays = head.save()

    def ask(calls: Sequence[Call]) -> Outputs:
        assert [(call.engine, call.form, list(call.items)) for call in calls] == [
            ("trunk:hash", "pooled", ["lo", "高"])
        ]
        return [np.array([[0.25, 9], [0.3, 9]], np.float32)]  # scores 1.0 and 1.1: left, right

    rows = [{"x": 0.0, "note": "lo"}, {"x": 0.0, "note": "高"}]
    np.testing.assert_array_equal(one(TreesHead.load(meta, arrays).run(rows), ask).values, [10, 20])


def test_a_head_of_an_older_bundle_has_no_counts() -> None:
    meta, arrays = _head().save()
    del arrays["count"]
    with pytest.raises(BundleError):
        TreesHead.load(meta, arrays)
    del meta["counted"]
    again = TreesHead.load(meta, arrays)
    np.testing.assert_array_equal(one(again.run(ROWS), _no_engine).values, one(_head().run(ROWS), _no_engine).values)


def _damage(name: str, at: int, value: float) -> dict[str, NDArray[Any]]:
    _, arrays = _head().save()
    array = arrays[name].copy()
    array[at] = value
    return {**arrays, name: array}


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("left", 1, 0),  # back to the root: would walk in a circle
        ("right", 0, 2000), ("left", 0, -2000), ("feature", 0, 5), ("feature", 0, -1),
        ("output", 0, 1), ("nodes", 0, 3), ("nodes", 0, -1), ("leaf", 0, math.nan), ("bounds", -1, 9999), ("bounds", 1, -5),
    ],
)  # fmt: skip
def test_a_damaged_head_is_refused(name: str, at: int, value: float) -> None:
    meta, _ = _head().save()
    with pytest.raises(BundleError):
        TreesHead.load(meta, _damage(name, at, value))


@pytest.mark.parametrize("name", ["nodes", "threshold", "decision", "bounds"])
def test_a_cut_or_missing_array_is_refused(name: str) -> None:
    meta, arrays = _head().save()
    with pytest.raises(BundleError):
        TreesHead.load(meta, {**arrays, name: arrays[name][:-1]})
    with pytest.raises(BundleError):
        TreesHead.load(meta, {key: value for key, value in arrays.items() if key != name})


@pytest.mark.parametrize(
    "change", [{"columns": []}, {"outputs": "x"}, {"link": "softmin"}, {"texts": [{}]}, {"outputs": 0}]
)
def test_a_damaged_meta_is_refused(change: dict[str, Any]) -> None:
    meta, arrays = _head().save()
    with pytest.raises(BundleError):
        TreesHead.load({**meta, **change}, arrays)
