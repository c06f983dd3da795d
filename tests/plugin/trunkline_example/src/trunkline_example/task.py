"""A task: labels with an order (stars, severity), judged by how many grades an answer is off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trunkline.spec import Spec
from trunkline.tasks.classify import Classify
from trunkline.types import Floats, Metric


class Grade(Classify):
    """classify, with ordered labels and a metric of its own."""

    name: ClassVar[str] = "grade"

    def target(
        self, spec: Spec, raw: Sequence[Any], labels: Sequence[str] | None
    ) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        target, known = super().target(spec, raw, labels)
        if labels is not None:
            return target, known
        order = sorted(range(len(known)), key=lambda i: _grade(known[i]))
        place = np.empty(len(known), np.int64)
        place[order] = np.arange(len(known))
        return place[target], tuple(known[i] for i in order)

    def primary(self, spec: Spec) -> str:
        return spec.proof.metric or "grades_off"

    def metrics(self, spec: Spec, labels: Sequence[str]) -> Mapping[str, Metric]:
        off = Metric("grades_off", higher_is_better=False, of=_mean_off, per_row=_off)
        return {off.name: off, **super().metrics(spec, labels)}


def _grade(label: str) -> tuple[int, float, str]:
    """Numbers by value, then names."""
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label


def _off(target: NDArray[Any], values: Floats) -> Floats:
    """(n,) distance between the likeliest grade and the right one."""
    return np.asarray(np.abs(values.argmax(axis=1) - target), np.float64)


def _mean_off(target: NDArray[Any], values: Floats) -> float:
    return float(_off(target, values).mean())
