"""What the table methods learn: a task's targets with the link that answers them, and its loss."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import TrainError
from trunkline.heads.links import apply_link
from trunkline.metrics import log_loss, rmse
from trunkline.spec import Spec
from trunkline.types import Examples


@dataclass(frozen=True)
class Answers:
    """values: logistic int64 0/1 (n,); softmax int64 (n,); labels int64 0/1 (n, k); identity float64 (n,)."""

    values: NDArray[Any]
    link: str
    outputs: int  # scores a row

    def take(self, index: NDArray[np.int64]) -> Answers:
        return replace(self, values=self.values[index])


def answers_of(spec: Spec, examples: Examples) -> Answers:
    """Raises TrainError for a task these methods don't know."""
    if spec.task == "classify":
        two = len(examples.labels) == 2
        return Answers(examples.target, "logistic" if two else "softmax", 1 if two else len(examples.labels))
    if spec.task == "multilabel":
        return Answers(examples.target.astype(np.int64), "labels", len(examples.labels))
    if spec.task == "regress":
        return Answers(examples.target.astype(np.float64), "identity", 1)
    raise TrainError(
        "table methods don't know this task", found=spec.task, wanted="classify | multilabel | regress"
    )


def loss_of(answers: Answers, scores: NDArray[np.float64]) -> float:
    """Mean log loss (over labels too), or root mean squared error for numbers, of scores (n, k)."""
    values = apply_link(answers.link, scores)
    if answers.link == "identity":
        return float(rmse(answers.values, values))
    if answers.link == "labels":
        pairs = zip(answers.values.T, values.T, strict=True)
        return float(np.mean([log_loss(target, np.column_stack([1 - p, p])) for target, p in pairs]))
    return float(log_loss(answers.values, values))
