"""A product's rows, read and split: what training and the checks work on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.data.near import Pairs, near_pairs
from trunkline.data.note import Note
from trunkline.data.rows import RefusedRow
from trunkline.data.split import Split
from trunkline.types import Examples


@dataclass(frozen=True, eq=False)
class Loaded:
    """Examples with what the reports need to know of their rows. Mappings by part have the keys
    "train" and "test". Where rows of both parts are numbered in one go, train comes first."""

    train: Examples
    test: Examples
    kinds: Mapping[str, str]  # input column -> kind
    cells: Mapping[str, Sequence[Any]]  # by part: label cells as written, outer spaces gone
    input_keys: Mapping[str, Sequence[bytes]]  # by part: digests of the normalised inputs
    refused: Sequence[RefusedRow]
    notes: Sequence[Note]
    source: str
    digest: str  # sha256 of the rows used
    split: Split

    def part(self, name: str) -> Examples:
        return self.train if name == "train" else self.test

    def columns(self, *kinds: str) -> list[str]:
        """The input columns of these kinds."""
        return [name for name, kind in self.kinds.items() if kind in kinds]

    def keep(self, mask: NDArray[np.bool_]) -> Loaded:
        """The same with only the training rows of `mask` (train,)."""
        at = np.flatnonzero(mask).tolist()
        return replace(
            self,
            train=self.train.take(at),
            cells={**self.cells, "train": [self.cells["train"][i] for i in at]},
            input_keys={**self.input_keys, "train": [self.input_keys["train"][i] for i in at]},
        )

    @cached_property
    def texts(self) -> list[str]:
        """All text columns of each row as one text, train then test; [] without a text column."""
        names = self.columns("text")
        rows = [*self.train.inputs, *self.test.inputs] if names else []
        return ["\n".join(row[name] for name in names) for row in rows]

    @cached_property
    def near(self) -> tuple[Pairs, NDArray[np.float64]]:
        """Near-duplicate pairs (numbers as in `texts`) whose other inputs are equal."""
        pairs, similar = near_pairs(self.texts)
        others = [name for name in self.kinds if name not in self.columns("text")]
        if not others or not len(pairs):
            return pairs, similar
        rows = [*self.train.inputs, *self.test.inputs]
        keys = {int(i): repr([rows[i][name] for name in others]) for i in np.unique(pairs)}
        same = np.array([keys[a] == keys[b] for a, b in pairs.tolist()], bool)
        return pairs[same], similar[same]

    @cached_property
    def distinct_share(self) -> float:
        """Distinct inputs per training row."""
        keys = self.input_keys["train"]
        return len(set(keys)) / len(keys)
