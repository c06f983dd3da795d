"""LightGBM's own model text -> TreeArrays; the only reader of that format. Training side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.heads.tree_arrays import TreeArrays


def tree_arrays(models: Sequence[str]) -> TreeArrays:
    """Trees of models as `Booster.model_to_string()` gives them, one after the other.

    A model's trees add to the outputs after those of the models before it: a multiclass model has one
    output a class, every other one output. Numbers stand there with 17 digits, so none is rounded.
    """
    parsed: list[tuple[int, dict[str, str]]] = []
    first = 0
    for model in models:
        header, *trees = model.split("\nTree=")
        per_round = int(_fields(header)["num_tree_per_iteration"])
        parsed += [
            (first + i % per_round, _fields(tree.split("\nend of trees")[0])) for i, tree in enumerate(trees)
        ]
        first += per_round
    return _join(parsed)


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _join(parsed: Sequence[tuple[int, dict[str, str]]]) -> TreeArrays:
    def ints(tree: dict[str, str], key: str) -> NDArray[np.int64]:
        return np.array(tree.get(key, "").split(), np.int64)

    def floats(tree: dict[str, str], key: str) -> NDArray[np.float64]:
        return np.array(tree.get(key, "").split(), np.float64)

    parts: dict[str, list[NDArray[Any]]] = {
        name: [] for name in ("feature", "threshold", "decision", "left", "right", "leaf", "bits", "widths", "count")
    }
    sets = 0
    for _, tree in parsed:
        decision, threshold = ints(tree, "decision_type"), floats(tree, "threshold")
        widths = np.diff(ints(tree, "cat_boundaries"))
        # a tree counts its bit sets from 0
        parts["threshold"].append(np.where(decision & 1, threshold + sets, threshold))
        parts["decision"].append(decision)
        parts["feature"].append(ints(tree, "split_feature"))
        parts["left"].append(ints(tree, "left_child"))
        parts["right"].append(ints(tree, "right_child"))
        parts["leaf"].append(floats(tree, "leaf_value"))
        counts = ints(tree, "leaf_count")  # a tree of one leaf may have none
        parts["count"].append(np.maximum(counts, 1) if len(counts) == len(parts["leaf"][-1]) else np.ones(len(parts["leaf"][-1]), np.int64))
        parts["bits"].append(ints(tree, "cat_threshold"))
        parts["widths"].append(widths)
        sets += len(widths)
    joined = {name: np.concatenate([np.empty(0, np.int64), *arrays]) for name, arrays in parts.items()}
    return TreeArrays(
        nodes=np.array([len(array) for array in parts["feature"]], np.int64),
        output=np.array([output for output, _ in parsed], np.int64),
        feature=joined["feature"],
        threshold=joined["threshold"].astype(np.float64),
        decision=joined["decision"].astype(np.uint8),
        left=joined["left"],
        right=joined["right"],
        leaf=joined["leaf"].astype(np.float64),
        bits=joined["bits"].astype(np.uint32),
        bounds=np.concatenate([[0], np.cumsum(joined["widths"])]).astype(np.int64),
        count=joined["count"],
    )
