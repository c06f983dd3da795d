"""The ladder behind method = "auto": simple methods first, a dearer one only where it brings more.

Every rung is judged by its out-of-fold predictions, calibrated as its answers would be; the test rows
take no part. Each method says itself what it can do; the ladder only orders.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import TrainError
from trunkline.methods import METHODS
from trunkline.methods.dense_rows import TRUNK_KINDS, size_of
from trunkline.proof.intervals import estimate, paired
from trunkline.spec import Spec
from trunkline.spec.model import trunk_of
from trunkline.tasks.common import judgeable
from trunkline.terminal import SILENT, Progress
from trunkline.training import parallel
from trunkline.types import (
    Ask,
    Candidate,
    Estimate,
    Examples,
    Folds,
    Metric,
    Prediction,
    Rung,
    Task,
)

FEW = 16  # rows a class, up to which a trunk is trusted before words are
TEXT = ("ngrams", "linear", "fused")
# Not `prototype`: from 1 to 16 rows a class it lost 2 to 8 points to `linear` (benchmarks/text_accuracy.py),
# although one-shot folds of two rows a class make it look better.
FEW_TEXT = ("linear", "ngrams", "fused")
TABLE = ("tabular", "boosting", "blend")
TRUNK = ("linear",)  # without a text: pictures
ADAPT = ("contrastive", "lora", "finetune")  # each dearer than the one before it, and none tried once one brought nothing


@runtime_checkable
class Joins(Protocol):
    """A method whose head is made of other methods' heads; it need not learn those again."""

    parts: ClassVar[tuple[str, ...]]

    def join(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask, parts: Mapping[str, Candidate]) -> Candidate:
        """`fit` from what its parts became on the same examples and folds."""
        ...


@runtime_checkable
class Shows(Protocol):
    """A method that learns for so long that it tells its progress itself."""

    progress: Progress


@dataclass(frozen=True)
class Climbed:
    """The method that was kept, what every rung brought, and all that was learned on the way."""

    method: str
    candidate: Candidate
    rungs: tuple[Rung, ...]
    folds: Folds
    tried: Mapping[str, Candidate]


def order(spec: Spec, examples: Examples) -> list[str]:
    """The methods to try, the simplest first; which of them can is for each to say."""
    if spec.method.name != "auto":
        return [spec.method.name]
    adapt = ADAPT if spec.method.adapt else ()
    if spec.task == "tag":
        return ["token_linear", *adapt]
    if spec.task == "extract":
        return ["best_sentence", "span_linear"]
    kinds = set(spec.inputs.values())
    if not kinds & set(TRUNK_KINDS):
        return list(TABLE)
    few = bool(examples.labels) and len(examples) <= FEW * len(examples.labels)
    vectors = (FEW_TEXT if few else TEXT) if "text" in kinds else TRUNK
    return [*vectors, *(["boosting"] if kinds - set(TRUNK_KINDS) else []), *adapt]


def has_network(spec: Spec) -> bool:
    """Is a network among the methods that may learn it? What isn't one, several processes can't learn together."""
    names = [spec.method.name] if spec.method.name != "auto" else ADAPT if spec.method.adapt else ()
    return any(isinstance(METHODS.get(name)(), Shows) for name in names)


def climb(spec: Spec, task: Task, examples: Examples, ask: Ask, progress: Progress = SILENT) -> Climbed:
    """Learn by the spec's method, or by each rung in turn and keep the best.

    Of those that adapt the trunk, the first that isn't kept is the last that is tried, and only a gain in the primary
    metric that excludes zero keeps one.

    Where a trunk is used, a rung is kept over the best before it if the paired out-of-fold gain of the
    primary metric excludes zero; or, since few rows tell labels apart only coarsely, if its gain is not
    negative and that of the log loss excludes zero.

    Without a trunk every rung answers in microseconds, so none has a price to make up for: it is kept if
    its out-of-fold log loss is lower (the primary metric better, where the task has no log loss) and it
    isn't clearly worse by the primary metric. Raises TrainError where no method can do this product.
    """
    folds = task.folds(examples, spec.method.folds, spec.seed)
    judge = Judge(spec, task, examples)
    tried: dict[str, Candidate] = {}
    rungs: list[Rung] = []
    best, refusals = "", []
    for name in order(spec, examples):
        method = METHODS.get(name)()
        refused = method.can(spec, examples)
        if refused is not None:
            refusals.append(f"{name}: {refused.message}")
            continue
        progress.step(name, len(tried), len(tried) + 1)
        started = time.perf_counter()
        try:
            tried[name] = _fit(name, spec, examples, folds, ask, tried, progress)
        except TrainError as error:
            if spec.method.name != "auto":
                raise
            refusals.append(f"{name}: {error.what}")
            continue
        seconds = time.perf_counter() - started
        gain, kept, note = judge.against(tried[name], tried.get(best), dear=name in ADAPT)
        size = size_of(tried[name].head) + sum(network.size_bytes for network in tried[name].networks.values())
        rungs.append(Rung(name, judge.primary.name, judge.value(tried[name]), gain, seconds, size, kept, note))
        if not kept and name in ADAPT:
            break
        best = name if kept else best
    if not tried:
        raise TrainError(
            "no method can learn this product",
            found="; ".join(refusals),
            hint="method.name = auto, or another method",
        )
    return Climbed(best, tried[best], tuple(rungs), folds, tried)


def _fit(
    name: str, spec: Spec, examples: Examples, folds: Folds, ask: Ask, tried: Mapping[str, Candidate], progress: Progress
) -> Candidate:
    method = METHODS.get(name)()
    if isinstance(method, Shows):
        method.progress = progress
        parallel.call(name)
    if isinstance(method, Joins) and set(method.parts) <= set(tried):
        return method.join(spec, examples, folds, ask, tried)
    return method.fit(spec, examples, folds, ask)


class Judge:
    """Compares candidates on the training examples (those `among` them), out of fold."""

    def __init__(
        self, spec: Spec, task: Task, examples: Examples, among: NDArray[np.bool_] | None = None
    ) -> None:
        fair = judgeable(examples.target)
        self.fair = np.flatnonzero(fair if among is None else fair & among)
        self.spec, self.task, self.all = spec, task, examples
        self.examples = examples.take(self.fair)
        self._finished: dict[int, Prediction] = {}
        metrics = task.metrics(spec, examples.labels)
        self.primary = metrics[task.primary(spec)]
        self.loss = metrics.get("log_loss")
        self.cheap = all(trunk_of(spec, kind) is None for kind in spec.inputs.values())

    def finished(self, candidate: Candidate) -> Prediction:
        """Of the rows that tell methods apart. Candidates outlive the judge, so their ids stay theirs."""
        if id(candidate) not in self._finished:
            self._finished[id(candidate)] = self._calibrated(candidate.out_of_fold)
        return self._finished[id(candidate)]

    def _calibrated(self, out_of_fold: Prediction) -> Prediction:
        decision = self.task.calibrate(self.spec, self.all, out_of_fold)
        return self.task.finish(out_of_fold.take(self.fair), decision)

    def score(self, out_of_fold: Prediction) -> float:
        """The primary metric of a prediction for all rows, calibrated as its answers would be; nan where no row tells."""
        return float(self.primary.of(self.examples.target, self._calibrated(out_of_fold).values)) if len(self.examples) else math.nan

    def gain(self, one: Prediction, other: Prediction) -> Estimate:
        """What the primary metric of one is over that of the other, more is better; likewise."""
        return self._paired(self.primary, self._calibrated(one), self._calibrated(other))

    def value(self, candidate: Candidate) -> Estimate:
        return self._estimate(self.finished(candidate))

    def value_of(self, raw: Prediction, candidate: Candidate) -> Estimate:
        """Of another prediction for all rows, calibrated as the candidate's is."""
        decision = self.task.calibrate(self.spec, self.all, candidate.out_of_fold)
        return self._estimate(self.task.finish(raw.take(self.fair), decision))

    def _estimate(self, finished: Prediction) -> Estimate:
        known, examples = finished.values, self.examples
        return estimate(
            self.primary, examples.target, known, groups=examples.groups, times=examples.times, seed=self.spec.seed
        )

    def against(self, one: Candidate, best: Candidate | None, dear: bool = False) -> tuple[Estimate | None, bool, str]:
        """(paired gain, more is better; kept; why). dear: only a gain that excludes zero keeps it."""
        if best is None:
            return None, True, "the first rung"
        if not len(self.examples):
            return None, False, "one row a class: nothing tells methods apart"
        gain = self._gain(self.primary, one, best)
        if dear:
            return gain, gain.low > 0, "its gain excludes zero" if gain.low > 0 else "no clear gain"
        return gain, *(self._better(gain, one, best) if self.cheap else self._clear(gain, one, best))

    def _clear(self, gain: Estimate, one: Candidate, best: Candidate) -> tuple[bool, str]:
        if gain.low > 0:
            return True, "its gain excludes zero"
        if self.loss is not None and gain.value >= 0 and self._gain(self.loss, one, best).low > 0:
            return True, "no loss, and the gain in log loss excludes zero"
        return False, "no clear gain"

    def _better(self, gain: Estimate, one: Candidate, best: Candidate) -> tuple[bool, str]:
        metric = self.loss or self.primary
        a, b = (metric.of(self.examples.target, self.finished(candidate).values) for candidate in (one, best))
        if not (a > b if metric.higher_is_better else a < b):
            return False, f"its {metric.name} is no better"
        if gain.high < 0:
            return False, f"its {metric.name} is better, but it is clearly worse"
        return True, f"its {metric.name} is better, and no rung costs more than microseconds"

    def _gain(self, metric: Metric, one: Candidate, best: Candidate) -> Estimate:
        return self._paired(metric, self.finished(one), self.finished(best))

    def _paired(self, metric: Metric, a: Prediction, b: Prediction) -> Estimate:
        examples = self.examples
        found = paired(
            metric, examples.target, a.values, b.values, groups=examples.groups, times=examples.times, seed=self.spec.seed
        )
        if metric.higher_is_better:
            return found
        return Estimate(-found.value, -found.high, -found.low, found.n)
