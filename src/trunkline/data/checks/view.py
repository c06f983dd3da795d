"""What a check sees, and the words that checks share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trunkline.data.loaded import Loaded
from trunkline.spec import Spec

MOST_ROWS = 20  # example rows in a finding
_SHOWN = 300  # signs of a cell in an example row



@dataclass(frozen=True)
class View:
    """`max_tokens` of a text are read by the trunk."""

    spec: Spec
    loaded: Loaded
    max_tokens: int = 512

    @property
    def n_train(self) -> int:
        return len(self.loaded.train)

    def values(self, column: str, part: str = "train") -> list[Any]:
        return [row[column] for row in self.loaded.part(part).inputs]

    def example(self, number: int, note: str = "") -> dict[str, Any]:
        """One row to look at; `number` counts train rows, then test rows."""
        part = "train" if number < self.n_train else "test"
        at = number if part == "train" else number - self.n_train
        examples = self.loaded.part(part)
        cells = {name: shown(value) for name, value in examples.inputs[at].items()}
        cells[self.spec.label] = shown(self.loaded.cells[part][at])
        return {"row": int(examples.rows[at]), "part": part, "cells": cells, "note": note}

    def examples(self, numbers: Iterable[int], note: str = "") -> list[dict[str, Any]]:
        return [self.example(int(number), note) for number in list(numbers)[:MOST_ROWS]]


def shown(value: Any) -> Any:
    """A cell fit for JSON and a page: long texts cut, nan as None."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    text = value if isinstance(value, str) else str(value)
    return None if value is None else text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share == 0 or share >= 0.001 else "under 0.1 %"


def names(values: Sequence[str], most: int = 5) -> str:
    """The first few names, for a message."""
    listed = ", ".join(repr(value) for value in values[:most])
    return listed + (f" … (+{len(values) - most})" if len(values) > most else "")


def counted(counts: Mapping[str, int], most: int = 5) -> str:
    """Names with their counts, for a message."""
    listed = ", ".join(f"{name!r}: {count:,}" for name, count in list(counts.items())[:most])
    return listed + (f" … (+{len(counts) - most})" if len(counts) > most else "")
