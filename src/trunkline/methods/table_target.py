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
    """By the form of the targets (see `Examples`), not the task's name: another package's task is learned
    as well. Raises TrainError for a form these methods don't know."""
    target = examples.target
    if target.ndim == 2 and target.dtype == bool:
        return Answers(target.astype(np.int64), "labels", len(examples.labels))
    if target.ndim == 1 and np.issubdtype(target.dtype, np.integer):
        two = len(examples.labels) == 2
        return Answers(target, "logistic" if two else "softmax", 1 if two else len(examples.labels))
    if target.ndim == 1 and np.issubdtype(target.dtype, np.floating):
        return Answers(target.astype(np.float64), "identity", 1)
    raise TrainError(
        "these methods don't know such targets",
        where=f"task {spec.task}",
        found=f"{target.dtype} {target.shape}",
        wanted="int64 (n,), bool (n, labels) or float64 (n,)",
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
