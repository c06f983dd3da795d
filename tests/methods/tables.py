"""Small made-up tables for the table methods: what holds is known, so a method can be wrong."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.spec import Spec, parse_spec
from trunkline.types import Call, Examples, Folds, Outputs

KINDS = {"income": "number", "since": "date", "member": "bool", "职业": "category"}


def spec_of(task: str, kinds: Mapping[str, str] = KINDS, **method: Any) -> Spec:
    return parse_spec({"name": "t", "task": task, "label": "y", "inputs": dict(kinds), "method": method})


def table(n: int, seed: int) -> list[dict[str, Any]]:
    """Rows with missing cells in every column."""
    rng = np.random.default_rng(seed)
    jobs = np.array(["教师", "nurse", "farmer", "医生"], object)

    def some(value: Any, absent: Any) -> Any:
        return absent if rng.random() < 0.1 else value

    return [
        {
            "income": some(float(rng.normal(30, 10)), math.nan),
            "since": some(float(rng.integers(18_000, 20_000)), math.nan),
            "member": some(float(rng.integers(0, 2)), math.nan),
            "职业": some(str(rng.choice(jobs)), None),
        }
        for _ in range(n)
    ]


def signal(rows: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """(n,) what the targets hang on: income in a straight line, and one job."""
    income = np.array([0.0 if math.isnan(row["income"]) else (row["income"] - 30) / 10 for row in rows])
    doctor = np.array([row["职业"] == "医生" for row in rows])
    return np.asarray(income + 1.5 * doctor, np.float64)


def examples_of(task: str, n: int = 300, seed: int = 0) -> Examples:
    rows = table(n, seed)
    noisy = signal(rows) + 0.3 * np.random.default_rng(seed + 1).normal(size=n)
    if task == "regress":
        return _examples(rows, noisy, ())
    if task == "multilabel":
        return _examples(rows, np.column_stack([noisy > 0, noisy > 1, noisy > 99]), ("低", "high", "never"))
    cuts = [0.3] if task == "two" else [-0.3, 0.9]
    labels = ("no", "是") if task == "two" else ("c0", "c1", "c2")
    return _examples(rows, np.digitize(noisy, cuts), labels)


def _examples(rows: Sequence[dict[str, Any]], target: Any, labels: tuple[str, ...]) -> Examples:
    numbers = np.arange(len(rows))
    return Examples(rows, np.asarray(target), labels, [str(i).encode() for i in numbers], numbers)


def folds_of(n: int, k: int = 4) -> Folds:
    return np.arange(n, dtype=np.int64) % k


def no_engine(calls: Sequence[Call]) -> Outputs:
    raise AssertionError("a table asks for no engine")
