"""What a smaller form costs and what it loses, beside the form that the product has: on the same rows, in turn."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.own import Owned
from trunkline.methods.dense_rows import size_of
from trunkline.program import one
from trunkline.proof.intervals import estimate, paired
from trunkline.proof.proportion import t_quantile
from trunkline.spec import Spec
from trunkline.types import Ask, Decision, Estimate, Examples, Head, Inputs, Prediction, Task

CALLS, WARM_UP = 120, 5


@dataclass(frozen=True)
class Stand:
    """One form of a product: what it needs to answer. The head asks its networks as "own:net"."""

    head: Head
    decision: Decision
    networks: Mapping[str, Owned]

    @property
    def size_bytes(self) -> int:
        """Of what is the product's own; a shared trunk costs it nothing."""
        return size_of(self.head) + sum(network.size_bytes for network in self.networks.values())

    def answered(self, task: Task, rows: Sequence[Inputs], ask: Ask) -> Prediction:
        """Finished, as `types.Prediction` says."""
        return task.finish(one(self.head.run(rows), ask), self.decision)


@dataclass(frozen=True)
class Costs:
    """Processor milliseconds of one row a call, all threads, before and after, and how many times less it became: means
    with their 95 % intervals over the calls (Student's t; the ratio by logarithms)."""

    before: Estimate
    after: Estimate
    times: Estimate


@dataclass(frozen=True)
class Loss:
    """before, after: the primary metric. points: what was lost, paired, more is worse: in points where the metric is a
    share, else in percent of what it was before."""

    before: Estimate
    after: Estimate
    points: Estimate
    unit: str = ""  # of the metric: "%" = a share


def loss(spec: Spec, task: Task, rows: Examples, before: Prediction, after: Prediction) -> Loss:
    """Of two forms' finished answers to the same rows."""
    metric = task.metrics(spec, rows.labels)[task.primary(spec)]
    told = {"groups": rows.groups, "times": rows.times, "seed": spec.seed}
    was, now = (estimate(metric, rows.target, found.values, **told) for found in (before, after))  # type: ignore[arg-type]
    found = paired(metric, rows.target, before.values, after.values, **told)  # type: ignore[arg-type]
    scale = 100.0 if metric.unit == "%" else 100.0 / max(abs(was.value), 1e-12)
    ends = [scale * end for end in (found.value, found.low, found.high)]
    if not metric.higher_is_better:
        ends = [-ends[0], -ends[2], -ends[1]]
    return Loss(was, now, Estimate(ends[0], ends[1], ends[2], found.n), metric.unit)


def costs(before: Callable[[Sequence[Any]], object], after: Callable[[Sequence[Any]], object], rows: Sequence[Any]) -> Costs:
    """Each answers the same row alone, in turn, the one that goes first changing; so what else the machine does weighs on
    both alike."""
    spent: NDArray[np.float64] = np.zeros((CALLS, 2))
    for at in range(-WARM_UP, CALLS):
        row = [rows[at % len(rows)]]
        for which, answer in ((0, before), (1, after)) if at % 2 else ((1, after), (0, before)):
            began = time.process_time()
            answer(row)
            if at >= 0:
                spent[at, which] = 1_000 * (time.process_time() - began)
    spent = np.maximum(spent, 1e-4)  # the clock's own step
    ratio = _mean(np.log(spent[:, 0] / spent[:, 1]))
    return Costs(_mean(spent[:, 0]), _mean(spent[:, 1]), Estimate(math.exp(ratio.value), math.exp(ratio.low), math.exp(ratio.high), ratio.n))


def _mean(values: NDArray[np.float64]) -> Estimate:
    mean, n = float(values.mean()), len(values)
    wide = t_quantile(n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean, mean - wide, mean + wide, n)
