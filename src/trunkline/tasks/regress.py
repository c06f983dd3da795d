"""regress: a number for each row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trunkline import metrics as m
from trunkline.data.split import folds
from trunkline.errors import DataError
from trunkline.inputs.number import Number
from trunkline.spec import Spec
from trunkline.tasks.common import RowByRow, chosen, for_rows, is_outside, metric, naive, outside_limit
from trunkline.types import Answer, Decision, Examples, Folds, Metric, Prediction, Refused, Value

COVERAGE = 0.9  # share of truths that should lie between `low` and `high`


class Regress(RowByRow):
    """A `Task`. target: float64 (n,); values: (n,)."""

    name: ClassVar[str] = "regress"

    def target(
        self, spec: Spec, raw: Sequence[Any], labels: Sequence[str] | None
    ) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Raises DataError for a cell that is no number."""
        return np.array([_number(cell, at) for at, cell in enumerate(raw)], np.float64), ()

    def primary(self, spec: Spec) -> str:
        return chosen(spec, "mae", dict.fromkeys(("mae", "rmse", "r2")))

    def metrics(self, spec: Spec, labels: Sequence[str]) -> Mapping[str, Metric]:
        found = [
            metric("mae", m.mae, rows=m.absolute_error_rows, higher=False),
            metric("rmse", m.rmse, higher=False),
            metric("r2", m.r2),
        ]
        return {one.name: one for one in found}

    def folds(self, examples: Examples, k: int, seed: int) -> Folds:
        return folds(examples, k, seed, stratify=False)

    def baselines(self, spec: Spec) -> Sequence[str]:
        return naive(spec)

    def calibrate(self, spec: Spec, examples: Examples, out_of_fold: Prediction) -> Decision:
        """The interval's half width: the residual that 90 % of out-of-fold rows stay within, with the
        finite-sample rank of split conformal prediction (Lei et al. 2018)."""
        residuals = np.sort(np.abs(examples.target - out_of_fold.values))
        rank = min(len(residuals), math.ceil(COVERAGE * (len(residuals) + 1)))
        return Decision(outside_above=outside_limit(spec, out_of_fold), residual=float(residuals[rank - 1]))

    def finish_each(self, prediction: Prediction, decisions: Sequence[Decision]) -> Prediction:
        return prediction

    def decode_each(
        self,
        finished: Prediction,
        decisions: Sequence[Decision],
        labels: Sequence[Sequence[str]],
        top: int | None = None,
    ) -> list[Answer]:
        """{"value", "low", "high"}; value is None where the row is out of scope."""
        outside = is_outside(finished, decisions).tolist()
        each = for_rows(decisions, len(outside))
        answers = []
        for value, decision, far in zip(finished.values.tolist(), each, outside, strict=True):
            if far:
                answers.append(Answer("out_of_scope", {"value": None, "low": None, "high": None}))
                continue
            ends = {"low": value - decision.residual, "high": value + decision.residual}
            answers.append(Answer("ok", {"value": value, **ends}))
        return answers

    def correct(self, answer: Answer, correction: Any, labels: Sequence[str]) -> Value:
        """A number. Raises DataError for anything else."""
        return _number(correction, 0)

    def answer_schema(self, labels: Sequence[str]) -> dict[str, Any]:
        number = {"type": ["number", "null"]}
        return {
            "type": "object",
            "properties": {"value": number, "low": number, "high": number},
            "example": {"value": 12.5, "low": 10.1, "high": 14.9},
        }


def _number(cell: Any, at: int) -> float:
    value = Number().read(cell)
    if isinstance(value, Refused) or not math.isfinite(value):
        raise DataError("a label is no number", where=f"row {at + 1}", found=repr(cell)[:80], wanted="a number")
    return float(value)
