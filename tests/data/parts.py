"""A small task and shorthands for the data tests; the real tasks have tests of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.data.loaded import Loaded
from trunkline.data.read import read_examples
from trunkline.errors import DataError, nearest
from trunkline.spec import Data, Spec


class FakeTask:
    """classify, regress or multilabel, as far as `target` goes."""

    def __init__(self, name: str = "classify") -> None:
        self.name = name

    def target(self, spec: Spec, raw: Sequence[Any], labels: Sequence[str] | None) -> tuple[NDArray[Any], tuple[str, ...]]:
        if self.name == "regress":
            return np.array(raw, float), ()
        sets = [cell if isinstance(cell, list) else str(cell).split("|") if cell else [] for cell in raw]
        known = tuple(labels) if labels is not None else tuple(sorted({name for one in sets for name in one}))
        for one in sets:
            for name in one:
                if name not in known:
                    raise DataError(f"unknown label {name!r}", found=repr(name), hint=nearest(name, known))
        table = np.array([[name in one for name in known] for one in sets], bool).reshape(len(raw), len(known))
        return (table.argmax(axis=1).astype(np.int64) if self.name == "classify" else table), known


def spec(inputs: dict[str, str] | None = None, task: str = "classify", label: str = "label", **data: Any) -> Spec:
    return Spec(name="p", task=task, label=label, inputs=inputs or {"text": "text"}, data=Data(**data))


def load(root: Path, text: str, test: str | None = None, *, of: Spec | None = None) -> Loaded:
    """What `read_examples` makes of CSV texts."""
    (root / "train.csv").write_text(text, encoding="utf-8", newline="")
    if test is not None:
        (root / "test.csv").write_text(test, encoding="utf-8", newline="")
    product = of or spec(test=None if test is None else "test.csv")
    return read_examples(product, FakeTask(product.task), root)  # type: ignore[arg-type]


def csv_of(rows: Sequence[Sequence[object]], header: str = "text,label") -> str:
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"
