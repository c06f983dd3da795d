"""SHAP values in numpy against LightGBM's own pred_contrib."""

from __future__ import annotations

import numpy as np
import pytest
from tests.heads.test_trees import COLUMNS, OBJECTIVES, _hard_rows, _train

from trunkline.explain.tree_shap import Paths
from trunkline.heads.tree_arrays import Forest, TreeArrays
from trunkline.methods.lightgbm_model import tree_arrays


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
@pytest.mark.parametrize(("leaves", "extra"), [(2, {}), (25, {}), (15, {"bagging_fraction": 0.7, "bagging_freq": 1, "zero_as_missing": True})])
def test_values_are_those_of_lightgbm(objective: str, leaves: int, extra: dict[str, object]) -> None:
    outputs = OBJECTIVES[objective]
    params = {"objective": objective, "num_leaves": leaves, **extra, **({"num_class": 3} if outputs == 3 else {})}
    booster, _ = _train(leaves, params, 0.2, rounds=12)
    trees = TreeArrays.load(tree_arrays([booster.model_to_string()]).save(), COLUMNS, outputs)
    paths, forest = Paths.of(trees), Forest(trees, outputs)
    assert paths is not None
    for row in _hard_rows(np.random.default_rng(leaves), trees)[::7]:
        wanted = np.asarray(booster.predict(row[None], pred_contrib=True, num_threads=1)).reshape(outputs, COLUMNS + 1)
        found = paths.values(forest, row, COLUMNS)
        np.testing.assert_allclose(found.T, wanted[:, :-1], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(paths.base(outputs), wanted[:, -1], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(found.sum(axis=0) + paths.base(outputs), forest.score(row[None])[0], rtol=1e-9, atol=1e-9)


def test_trees_of_one_leaf_push_nothing() -> None:
    booster, table = _train(0, {"objective": "binary", "min_data_in_leaf": 1000}, 0.0, rounds=3)
    trees = tree_arrays([booster.model_to_string()])
    paths = Paths.of(trees)
    assert paths is not None
    assert not paths.values(Forest(trees, 1), table[0], COLUMNS).any()
    np.testing.assert_allclose(paths.base(1), booster.predict(table[:1], raw_score=True))


def test_trees_without_counts_have_none() -> None:
    booster, _ = _train(1, {"objective": "binary", "num_leaves": 5}, 0.1)
    arrays = tree_arrays([booster.model_to_string()]).save()
    del arrays["count"]
    assert Paths.of(TreeArrays.load(arrays, COLUMNS, 1)) is None
