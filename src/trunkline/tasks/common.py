"""What tasks share: metrics with their settings, naive methods, and the check of a row's distance from all that was learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import SpecError, nearest
from trunkline.spec import Spec
from trunkline.types import Decision, Metric, Prediction


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


def is_outside(prediction: Prediction, decision: Decision) -> NDArray[np.bool_]:
    """bool (n,)."""
    if prediction.outside is None or decision.outside_above is None:
        return np.zeros(len(prediction.values), bool)
    return np.asarray(prediction.outside > decision.outside_above)
