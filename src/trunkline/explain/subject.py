"""What is explained: a product's head with its decision, and the one figure of an answer that its parts pushed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trunkline.columns import ColumnEncoder, ColumnReader
from trunkline.errors import RequestError, nearest
from trunkline.heads.onnx import OnnxHead
from trunkline.types import Answer, Decision, Head, Inputs, Prediction, Refused, Steps, Task

FLOOR = 1e-12  # a probability is never taken for less
Unit = Literal["log_odds", "value", "distance", "probability"]


class NotExplainedError(RequestError):
    """The product's owner switched explanations off."""


def switched_off(product: str) -> NotExplainedError:
    return NotExplainedError(
        "the owner of this product switched explanations off", where=product, found="explain = false, or switched off while it serves",
        hint="ask its owner: explain in product.toml, or trunkline deploy --explain on",
    )  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """kinds: input column -> kind."""

    head: Head
    task: Task
    decision: Decision
    labels: Sequence[str]
    kinds: Mapping[str, str]

    def run(self, rows: Sequence[Inputs]) -> Steps[Prediction]:
        """The finished prediction of rows, (n, ...)."""
        return self.task.finish((yield from self.head.run(rows)), self.decision)

    def answer(self, finished: Prediction) -> Answer:
        """Of the first row."""
        return self.task.decode(finished.take(np.array([0])), self.decision, self.labels)[0]


@dataclass(frozen=True)
class Target:
    """The figure that is explained. label: of classify and multilabel; "" for a number and for a distance. alone: other
    labels may hold beside it (multilabel)."""

    unit: Unit
    label: str = ""
    index: int = 0
    alone: bool = False

    def figures(self, finished: Prediction) -> NDArray[np.float64]:
        """(n,) in `unit`: natural log odds of the label's probability, the number, or how far outside the row lies."""
        if self.unit == "distance":
            assert finished.outside is not None
            return finished.outside.astype(np.float64)
        if self.unit == "value":
            return finished.values.astype(np.float64)
        own = self.probabilities(finished)
        others = 1 - own if self.alone else np.delete(finished.values, self.index, axis=1).sum(axis=1)
        return np.asarray(np.log(np.maximum(own, FLOOR)) - np.log(np.maximum(others, FLOOR)))

    def probabilities(self, finished: Prediction) -> NDArray[np.float64]:
        """(n,) of the label."""
        return finished.values[:, self.index].astype(np.float64)


def target_of(answer: Answer, finished: Prediction, labels: Sequence[str], wanted: str | None) -> Target | Refused:
    """What is to be explained of the first row: the wanted label, else the answer: of several labels given the surest,
    of an abstained answer the label it would have been, of an out_of_scope one what makes the row strange.

    Raises RequestError for a label that isn't there.
    """
    values = finished.values
    if values.dtype == object or values.ndim > 2:
        return Refused("not_explainable", "this answer is itself a part of the text; there is no figure that other parts pushed")
    if values.ndim == 1 and wanted is not None:
        raise RequestError("this product answers with a number and has no labels", where="label", found=repr(wanted)[:80])
    if wanted is not None:
        if wanted not in labels:
            raise RequestError("that is no label of this product", where="label", found=repr(wanted)[:80], hint=nearest(wanted, labels))
        return Target("log_odds", wanted, list(labels).index(wanted), "labels" in answer.fields)
    if answer.status == "out_of_scope" and finished.outside is not None:
        return Target("distance")
    if values.ndim == 1:
        return Target("value")
    said = answer.fields.get("label")
    index = list(labels).index(str(said)) if said in labels else int(np.argmax(values[0]))
    return Target("log_odds", labels[index], index, "labels" in answer.fields)


def typical(head: Any) -> dict[str, Any]:
    """Column -> a cell of a usual row, as far as the head knows its training rows: a number's mean, the commonest
    category. Of a head of several parts, the first that knows."""
    found: dict[str, Any] = {}
    for part in (head, *getattr(head, "parts", ())):
        dense = getattr(part, "dense", None)  # a `Dense`, or what holds one
        encoder = getattr(getattr(dense, "dense", dense) or part, "encoder", None)
        reader = getattr(part, "reader", None)
        if isinstance(encoder, ColumnEncoder):
            found = {**_of_encoder(encoder), **found}
        elif isinstance(reader, ColumnReader):
            found = {**_commonest(reader), **found}
        elif isinstance(part, OnnxHead):
            found = {**_of_tensors(part), **found}
    return found


def _of_encoder(encoder: ColumnEncoder) -> dict[str, Any]:
    numbers = [column.name for column in encoder.reader.columns if column.kind != "category"]
    return _commonest(encoder.reader) | dict(zip(numbers, encoder.mean.tolist(), strict=True))


def _of_tensors(head: OnnxHead) -> dict[str, Any]:
    """Of a network's number columns: its own means; a category's first known name."""
    numbers = [(tensor, column) for tensor in head.tensors if tensor.numbers for column in tensor.columns]
    return {
        column: tensor.codes[column][0] if column in tensor.codes else float(mean)
        for (tensor, column), mean in zip(numbers, head.mean, strict=True)
    }


def _commonest(reader: ColumnReader) -> dict[str, Any]:
    return {column.name: column.values[0] for column in reader.columns if column.values}
