"""classify: one label for each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trunkline import metrics as m
from trunkline.data.split import folds
from trunkline.errors import DataError, SpecError, nearest
from trunkline.metrics.wilson import wilson
from trunkline.spec import Spec
from trunkline.tasks.common import (
    RowByRow,
    chosen,
    for_rows,
    is_outside,
    judgeable,
    metric,
    naive,
    named,
    outside_limit,
)
from trunkline.types import Answer, Decision, Examples, Floats, Folds, Metric, Prediction, Value

COLDEST, HOTTEST = 0.3, 20.0  # colder, few rows that are all right would be promised with certainty
NEVER = 1.01  # a probability no answer reaches


class Classify(RowByRow):
    """A `Task`. target: int64 (n,) indices into labels; values: (n, classes) probabilities."""

    name: ClassVar[str] = "classify"

    def target(
        self, spec: Spec, raw: Sequence[Any], labels: Sequence[str] | None
    ) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Raises DataError for a label outside `labels`, with the nearest known one."""
        cells = [str(cell).strip() for cell in raw]
        known = tuple(labels) if labels is not None else tuple(sorted(set(cells)))
        place = {label: i for i, label in enumerate(known)}
        for at, cell in enumerate(cells):
            if cell not in place:
                raise DataError(
                    "a label was never seen in training",
                    where=f"row {at + 1}",
                    found=repr(cell),
                    hint=nearest(cell, known),
                )
        return np.array([place[cell] for cell in cells], np.int64), known

    def primary(self, spec: Spec) -> str:
        known = ("accuracy", "macro_f1", "auroc", "average_precision", "log_loss", "cost", "recall_at_alarm_rate")
        return chosen(spec, "cost" if spec.proof.costs else "accuracy", dict.fromkeys(known))

    def metrics(self, spec: Spec, labels: Sequence[str]) -> Mapping[str, Metric]:
        """accuracy, macro_f1, auroc, average_precision, recall_at_alarm_rate, log_loss, calibration_error;
        cost where spec.proof.costs has prices. Raises SpecError for a label that isn't there."""
        costs = m.cost_matrix(labels, spec.proof.costs) if spec.proof.costs else None
        of = _positive(spec, labels)
        found = [
            metric("accuracy", m.accuracy, rows=m.accuracy_rows, unit="%", costs=costs),
            metric("macro_f1", m.macro_f1, unit="%", costs=costs),
            metric("auroc", m.auroc, positive=of),
            metric("average_precision", m.average_precision, positive=of),
            metric("recall_at_alarm_rate", m.recall_at_alarm_rate, unit="%", rate=spec.proof.alarm_rate, positive=of),
            metric("log_loss", m.log_loss, rows=m.log_loss_rows, higher=False),
            metric("calibration_error", m.calibration_error, higher=False, unit="%"),
        ]
        if costs is not None:
            found.insert(0, metric("cost", m.expected_cost, rows=m.cost_rows, higher=False, costs=costs))
        return {one.name: one for one in found}

    def folds(self, examples: Examples, k: int, seed: int) -> Folds:
        return folds(examples, k, seed, stratify=True)

    def baselines(self, spec: Spec) -> Sequence[str]:
        return naive(spec)

    def calibrate(self, spec: Spec, examples: Examples, out_of_fold: Prediction) -> Decision:
        """Temperature by log loss (Guo et al. 2017), then the probability from which answers are right
        often enough, and the distance from which a row is out of scope."""
        fair = judgeable(examples.target)
        target, logs = examples.target[fair], _logs(out_of_fold.values[fair])
        temperature = _temperature(target, logs)
        costs = m.cost_matrix(examples.labels, spec.proof.costs) if spec.proof.costs else None
        values = _softmax(logs / temperature)
        below = spec.serve.abstain_below or 0.0
        if spec.serve.abstain_precision is not None and spec.serve.abstain_below is None:
            below = _abstain_below(target, values, costs, spec.serve.abstain_precision)
        prices = () if costs is None else tuple(map(tuple, costs.tolist()))
        return Decision(temperature, below, outside_limit(spec, out_of_fold), costs=prices)

    def finish_each(self, prediction: Prediction, decisions: Sequence[Decision]) -> Prediction:
        as_they_are = [decision.temperature == 1.0 for decision in decisions]
        if all(as_they_are):
            return prediction
        temperatures = np.array([[decision.temperature] for decision in decisions])
        values = _softmax(_logs(prediction.values) / temperatures)
        if any(as_they_are):
            values[as_they_are] = prediction.values[as_they_are]
        return Prediction(values, prediction.outside)

    def decode_each(
        self,
        finished: Prediction,
        decisions: Sequence[Decision],
        labels: Sequence[Sequence[str]],
        top: int | None = None,
    ) -> list[Answer]:
        """{"label", "scores"}; label is None where the answer is abstained or out_of_scope."""
        values, n = finished.values, len(finished.values)
        decisions, labels = for_rows(decisions, n), for_rows(labels, n)
        said, outside = _said(values, decisions), is_outside(finished, decisions).tolist()
        answers = []
        for i, scores in enumerate(named(values, labels, top)):
            if outside[i]:
                answers.append(Answer("out_of_scope", {"label": None, "scores": scores}))
            elif values.item(i, said[i]) < decisions[i].abstain_below:
                answers.append(Answer("abstained", {"label": None, "scores": scores}))
            else:
                answers.append(Answer("ok", {"label": labels[i][said[i]], "scores": scores}))
        return answers

    def correct(self, answer: Answer, correction: Any, labels: Sequence[str]) -> Value:
        """A label. Raises DataError for anything else."""
        label = str(correction).strip()
        if label not in labels:
            raise DataError("that is no label of this product", found=repr(label), hint=nearest(label, labels))
        return label

    def answer_schema(self, labels: Sequence[str]) -> dict[str, Any]:
        example = {"label": labels[0], "scores": {labels[0]: 0.93}} if labels else {}
        return {
            "type": "object",
            "properties": {
                "label": {"type": ["string", "null"], "enum": [*labels, None]},
                "scores": {"type": "object", "additionalProperties": {"type": "number"}},
            },
            "example": example,
        }


def _said(values: Floats, decisions: Sequence[Decision]) -> list[int]:
    """n labels as by `metrics.decide`; where there are prices, each row by itself: a product of many rows at once
    would round by their number."""
    said: list[int] = m.decide(values).tolist()
    prices: dict[int, NDArray[np.float64]] = {}
    for i, decision in enumerate(decisions):
        if decision.costs:
            if id(decision) not in prices:
                prices[id(decision)] = np.array(decision.costs)
            said[i] = int(m.decide(values[i : i + 1], prices[id(decision)])[0])
    return said


def _positive(spec: Spec, labels: Sequence[str]) -> int | None:
    """The label of interest: as the spec says; all labels alike (None) if it says nothing."""
    if spec.proof.positive is None:
        return None
    if spec.proof.positive not in labels:
        raise SpecError(
            "there is no such label",
            where="proof.positive",
            found=repr(spec.proof.positive),
            hint=nearest(spec.proof.positive, labels),
        )
    return list(labels).index(spec.proof.positive)


def _temperature(target: NDArray[np.int64], logs: Floats) -> float:
    """Of least log loss, to about 1 %, by golden sections: the loss is convex in 1 / temperature.
    1 where there are no rows."""
    if not len(target):
        return 1.0
    right = logs[np.arange(len(target)), target]

    def loss(power: float) -> float:
        scaled = logs * power
        top = scaled.max(axis=1)
        return float(np.mean(top + np.log(np.exp(scaled - top[:, None]).sum(axis=1)) - power * right))

    low, high = np.log(1 / HOTTEST), np.log(1 / COLDEST)
    shrink = (np.sqrt(5) - 1) / 2
    left, far = high - shrink * (high - low), low + shrink * (high - low)
    at_left, at_far = loss(np.exp(left)), loss(np.exp(far))
    while high - low > 0.01:
        if at_left <= at_far:
            high, far, at_far = far, left, at_left
            left = high - shrink * (high - low)
            at_left = loss(np.exp(left))
        else:
            low, left, at_left = left, far, at_far
            far = low + shrink * (high - low)
            at_far = loss(np.exp(far))
    return float(np.exp(-(low + high) / 2))


def _abstain_below(target: NDArray[np.int64], values: Floats, costs: NDArray[np.float64] | None, precision: float) -> float:
    """The least probability over which the share of right answers is at least `precision`, by the
    lower end of its 95 % Wilson interval, so that few rows don't promise much."""
    said = m.decide(values, costs)
    sure = values[np.arange(len(values)), said]
    order = np.argsort(-sure, kind="stable")
    right = np.cumsum(said[order] == target[order])
    for n in range(len(order), 0, -1):
        last = n == len(order) or sure[order[n]] < sure[order[n - 1]]
        if last and wilson(right[n - 1] / n, n)[0] >= precision:
            return float(sure[order[n - 1]])
    return NEVER


def _logs(values: Floats) -> Floats:
    return np.log(np.maximum(values.astype(np.float64), 1e-12))


def _softmax(scores: Floats) -> Floats:
    """Row by row, so that an answer doesn't depend on its batch."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
