"""The weights of a trunk, and what of them stays: fewer layers, or the heads and inner columns of the largest weights.

By magnitude of whole structures: Han et al. 2015 for the idea, Michel et al. 2019 (https://arxiv.org/abs/1905.10650) for
heads, McCarley et al. 2019 for inner columns. The tensors become smaller, so that the network becomes faster.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trunkline.trunks.adapted import Adapted, widened
from trunkline.trunks.bert import BertParts

Array = NDArray[np.float32]


def merged(own: Adapted) -> BertParts:
    """The trunk's parts with what was learned in them: LoRA's B A added to each matrix."""
    parts, arrays = own.base.parts(), own.arrays()
    if own.about.kind != "lora":
        known = widened(arrays)
        shape = replace(parts.shape, layers=own.about.layers or parts.shape.layers)
        return replace(parts, shape=shape, weight=lambda name: known[name] if name in known else parts.weight(name))
    low = {name: array.astype(np.float32) for name, array in arrays.items()}

    def weight(name: str) -> Array:
        layer, _, what = name.rpartition(".")
        found = parts.weight(name)
        return found + low[f"{layer}.B"] @ low[f"{layer}.A"] if what == "weight" and f"{layer}.A" in low else found

    return replace(parts, weight=weight)


def fewer_layers(parts: BertParts, count: int) -> BertParts:
    """The first, the last, and those between them at even steps (Sanh et al. 2019 took every second)."""
    kept = np.rint(np.linspace(0, parts.shape.layers - 1, count)).astype(int).tolist()

    def weight(name: str) -> Array:
        if not name.startswith("encoder.layer."):
            return parts.weight(name)
        _, _, number, rest = name.split(".", 3)
        return parts.weight(f"encoder.layer.{kept[int(number)]}.{rest}")

    return replace(parts, shape=replace(parts.shape, layers=count), weight=weight)


def narrower(parts: BertParts, share: float = 0.5) -> BertParts:
    """A share of each layer's heads and inner columns."""
    size = parts.shape.hidden // parts.shape.heads
    places: dict[str, tuple[int, NDArray[np.int64]]] = {}  # tensor -> (axis, what stays)
    for layer in range(parts.shape.layers):
        name = f"encoder.layer.{layer}."
        inner = _largest(_lengths(parts.weight(f"{name}intermediate.dense.weight"), 1) * _lengths(parts.weight(f"{name}output.dense.weight"), 0), share)
        value, mixed = (parts.weight(f"{name}attention.{part}.weight") for part in ("self.value", "output.dense"))
        heads = _largest(_by_head(_lengths(value, 1), size) * _by_head(_lengths(mixed, 0), size), share)
        columns = (heads[:, None] * size + np.arange(size)).reshape(-1)
        for part in ("query", "key", "value"):
            places |= {f"{name}attention.self.{part}.{what}": (0, columns) for what in ("weight", "bias")}
        places[f"{name}attention.output.dense.weight"] = (1, columns)
        places |= {f"{name}intermediate.dense.{what}": (0, inner) for what in ("weight", "bias")}
        places[f"{name}output.dense.weight"] = (1, inner)

    def weight(name: str) -> Array:
        found = parts.weight(name)
        return np.take(found, places[name][1], places[name][0]) if name in places else found

    return replace(parts, weight=weight)


def _largest(weights: Array, share: float) -> NDArray[np.int64]:
    """Places of the largest, at least one, in order."""
    count = max(1, round(share * len(weights)))
    return np.sort(np.argsort(-weights, kind="stable")[:count])


def _lengths(matrix: Array, axis: int) -> Array:
    return np.asarray(np.sqrt((matrix**2).sum(axis=axis)), np.float32)


def _by_head(lengths: Array, size: int) -> Array:
    return np.asarray(np.sqrt((lengths.reshape(-1, size) ** 2).sum(axis=1)), np.float32)
