"""What tasks share: metrics with their settings, naive methods, and the check of a row's distance from all that was learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import SpecError, nearest
from trunkline.spec import Spec
from trunkline.types import Answer, Decision, Floats, Metric, Prediction, Task

T = TypeVar("T")


def metric(
    name: str,
    figure: Callable[..., Any],
    *,
    rows: Callable[..., Any] | None = None,
    higher: bool = True,
    unit: str = "",
    **fixed: Any,
) -> Metric:
    """A Metric from a function of `trunkline.metrics`, its settings filled in."""
    return Metric(
        name,
        higher,
        partial(figure, **fixed),
        None if rows is None else partial(rows, **fixed),
        unit,
        lambda target, values, weights: figure(target, values, weights=weights, **fixed),
    )


def chosen(spec: Spec, default: str, metrics: Mapping[str, Any]) -> str:
    """The primary metric: spec.proof.metric, else the task's. Raises SpecError for an unknown one."""
    name = spec.proof.metric or default
    if name not in metrics:
        raise SpecError(
            "this task has no such metric",
            where="proof.metric",
            found=repr(name),
            wanted=" | ".join(metrics),
            hint=nearest(name, metrics),
        )
    return name


def naive(spec: Spec) -> list[str]:
    """The methods to beat: always the same answer, and word counts where there is a text."""
    return ["majority", "ngrams"] if "text" in spec.inputs.values() else ["majority"]


def judgeable(target: NDArray[Any]) -> NDArray[np.bool_]:
    """bool (n,): rows an out-of-fold prediction can get right. Where a class has a single row, the
    model that is asked about it has never seen the class."""
    if target.ndim == 1 and target.dtype.kind in "iu":
        return np.asarray(np.bincount(target)[target] > 1)
    return np.ones(len(target), bool)


def outside_limit(spec: Spec, out_of_fold: Prediction) -> float | None:
    """The distance over which a row is out of scope: a quantile of the training rows' own."""
    if not spec.serve.out_of_scope or out_of_fold.outside is None or not len(out_of_fold.outside):
        return None
    return float(np.quantile(out_of_fold.outside, spec.serve.in_scope_share))


class RowByRow:
    """A task that can finish and decode rows by a decision each: rows of many products at once. The rows of one
    product are the case of a single decision. `row_by_row` says whether that still holds for a task that stands on this."""

    def finish(self, prediction: Prediction, decision: Decision) -> Prediction:
        return self.finish_each(prediction, [decision])

    def decode(self, finished: Prediction, decision: Decision, labels: Sequence[str]) -> list[Answer]:
        return self.decode_each(finished, [decision], [labels])

    def finish_each(self, prediction: Prediction, decisions: Sequence[Decision]) -> Prediction:
        """`Task.finish`; decisions: one for each of n rows, or one for all."""
        raise NotImplementedError

    def decode_each(
        self,
        finished: Prediction,
        decisions: Sequence[Decision],
        labels: Sequence[Sequence[str]],
        top: int | None = None,
    ) -> list[Answer]:
        """`Task.decode`; decisions and labels: one for each of n rows, or one for all; scores as in `named`."""
        raise NotImplementedError


def row_by_row(task: Task) -> TypeGuard[RowByRow]:
    """Whether rows of many products can be finished and decoded at once, and mean what they mean alone."""
    kind: type[Any] = type(task)
    return isinstance(task, RowByRow) and kind.finish is RowByRow.finish and kind.decode is RowByRow.decode


def for_rows(values: Sequence[T], n: int) -> Sequence[T]:
    """One for each of n rows, where there may be one for all."""
    return values if len(values) == n else list(values) * n


def is_outside(prediction: Prediction, decisions: Sequence[Decision]) -> NDArray[np.bool_]:
    """bool (n,)."""
    if prediction.outside is None:
        return np.zeros(len(prediction.values), bool)
    limits = [math.inf if each.outside_above is None else each.outside_above for each in decisions]
    return np.asarray(prediction.outside > np.array(limits, prediction.outside.dtype))


def named(values: Floats, labels: Sequence[Sequence[str]], top: int | None) -> list[dict[str, float]]:
    """Each row's values (n, k) by its labels; of more than `top` the highest only, from the highest on, equal ones in
    the order of the labels."""
    if any(len(names) != values.shape[1] for names in labels):
        raise ValueError("the labels aren't as many as the values")
    names_of = for_rows(labels, len(values))
    if top is None or values.shape[1] <= top:
        return [dict(zip(names, row, strict=True)) for names, row in zip(names_of, values.tolist(), strict=True)]
    order, kept = _highest(values, top)
    rows = zip(names_of, order.tolist(), kept.tolist(), strict=True)
    return [{names[i]: value for i, value in zip(at, row, strict=True)} for names, at, row in rows]


def _highest(values: Floats, top: int) -> tuple[NDArray[np.int64], Floats]:
    """(n, top) places of each row's highest values, from the highest on, equal ones in their order; the values."""
    rows = np.arange(len(values))[:, None]
    order = np.argsort(-values, axis=1)[:, : top + 1]
    kept = values[rows, order]
    if (kept[:, 1:] == kept[:, :-1]).any():  # the fast sort leaves equals in any order
        order = np.argsort(-values, axis=1, kind="stable")
        kept = values[rows, order]
    return order[:, :top], kept[:, :top]
