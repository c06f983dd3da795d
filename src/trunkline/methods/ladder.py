"""The ladder behind method = "auto": simple methods first, a dearer one only where it clearly brings more.

Every rung is judged by its out-of-fold predictions, calibrated as its answers would be; the test rows
take no part. Each method says itself what it can do; the ladder only orders.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline.errors import TrainError
from trunkline.methods import METHODS
from trunkline.methods.fused import Fused
from trunkline.methods.text_rows import size_of
from trunkline.proof.intervals import estimate, paired
from trunkline.spec import Spec
from trunkline.tasks.common import judgeable
from trunkline.terminal import SILENT, Progress
from trunkline.types import (
    Ask,
    Candidate,
    CurvePoint,
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
TABLE = ("tabular", "boosting")
CURVE = (0.125, 0.25, 0.5)  # of the training rows


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
    if "text" not in spec.inputs.values():
        return list(TABLE)
    few = bool(examples.labels) and len(examples) <= FEW * len(examples.labels)
    mixed = len(set(spec.inputs.values())) > 1
    return [*(FEW_TEXT if few else TEXT), *(["boosting"] if mixed else [])]


def climb(spec: Spec, task: Task, examples: Examples, ask: Ask, progress: Progress = SILENT) -> Climbed:
    """Learn by the spec's method, or by each rung in turn and keep the best.

    A rung is kept over the best before it if the paired out-of-fold gain of the primary metric excludes
    zero; or, since few rows tell labels apart only coarsely, if its gain is not negative and that of the
    log loss excludes zero. Raises TrainError where no method can do this product.
    """
    folds = task.folds(examples, spec.method.folds, spec.seed)
    judge = _Judge(spec, task, examples)
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
            tried[name] = _fit(name, spec, examples, folds, ask, tried)
        except TrainError as error:
            if spec.method.name != "auto":
                raise
            refusals.append(f"{name}: {error.what}")
            continue
        seconds = time.perf_counter() - started
        gain, kept, note = judge.against(tried[name], tried.get(best))
        size = size_of(tried[name].head)
        rungs.append(Rung(name, judge.primary.name, judge.value(tried[name]), gain, seconds, size, kept, note))
        best = name if kept else best
    if not tried:
        raise TrainError(
            "no method can learn this product",
            found="; ".join(refusals),
            hint="method.name = auto, or another method",
        )
    return Climbed(best, tried[best], tuple(rungs), folds, tried)


def learning_curve(spec: Spec, task: Task, examples: Examples, climbed: Climbed, ask: Ask) -> list[CurvePoint]:
    """The kept method learned from growing shares of the training rows, figures out of fold.

    A point's `rows` are the rows that its models learned from: the smaller ones in two folds with the
    penalty that all rows chose, the last one from the climb itself.
    """
    points = []
    for share in CURVE:
        part = examples.take(_sample(task, examples, share, spec.seed))
        if len(part) < 8 * max(1, len(part.labels)) ** 0.5:
            continue
        folds = task.folds(part, 2, spec.seed)
        candidate = _again(climbed.method, climbed.candidate.settings, spec, part, folds, ask)
        points.append(CurvePoint(len(part) // 2, _Judge(spec, task, part).value(candidate)))
    k = len(np.unique(climbed.folds))
    whole = _Judge(spec, task, examples).value(climbed.candidate)
    return [*points, CurvePoint(len(examples) * (k - 1) // k if k > 1 else len(examples), whole)]


def _again(
    name: str, settings: Mapping[str, Any], spec: Spec, part: Examples, folds: Folds, ask: Ask
) -> Candidate:
    """Learn on fewer rows with the penalty known; choosing it again would cost most of the time."""
    method = METHODS.get(name)()
    if isinstance(method, Fused):
        pieces = {piece: _again(piece, settings[piece], spec, part, folds, ask) for piece in method.parts}
        return method.join(_named(spec, name, {}), part, folds, pieces)
    kept = {"penalty": settings["penalty"]} if "penalty" in settings else dict(spec.method.settings)
    return method.fit(_named(spec, name, kept), part, folds, ask)


def _named(spec: Spec, name: str, settings: dict[str, Any]) -> Spec:
    choice = msgspec.structs.replace(spec.method, name=name, settings=settings)
    return msgspec.structs.replace(spec, method=choice)


def _fit(
    name: str, spec: Spec, examples: Examples, folds: Folds, ask: Ask, tried: Mapping[str, Candidate]
) -> Candidate:
    method = METHODS.get(name)()
    if isinstance(method, Fused) and set(method.parts) <= set(tried):
        return method.join(spec, examples, folds, tried)
    return method.fit(spec, examples, folds, ask)


def _sample(task: Task, examples: Examples, share: float, seed: int) -> NDArray[np.int64]:
    """Rows of a nested sample; of each class its share, at least one."""
    rng = np.random.default_rng(seed)
    place = rng.permutation(len(examples))
    if examples.target.dtype.kind in "iu" and examples.target.ndim == 1:
        picked = [
            rows[np.argsort(place[rows])][: max(1, round(share * len(rows)))]
            for rows in (np.flatnonzero(examples.target == c) for c in range(len(examples.labels)))
        ]
        return np.sort(np.concatenate(picked))
    return np.sort(np.argsort(place)[: max(1, round(share * len(examples)))])


class _Judge:
    """Compares candidates on the training examples, out of fold."""

    def __init__(self, spec: Spec, task: Task, examples: Examples) -> None:
        self.fair = np.flatnonzero(judgeable(examples.target))
        self.spec, self.task, self.all = spec, task, examples
        self.examples = examples.take(self.fair)
        self._finished: dict[int, Prediction] = {}
        metrics = task.metrics(spec, examples.labels)
        self.primary = metrics[task.primary(spec)]
        self.loss = metrics.get("log_loss")

    def finished(self, candidate: Candidate) -> Prediction:
        """Of the rows that tell methods apart. Candidates outlive the judge, so their ids stay theirs."""
        if id(candidate) not in self._finished:
            decision = self.task.calibrate(self.spec, self.all, candidate.out_of_fold)
            self._finished[id(candidate)] = self.task.finish(candidate.out_of_fold.take(self.fair), decision)
        return self._finished[id(candidate)]

    def value(self, candidate: Candidate) -> Estimate:
        values = self.finished(candidate).values
        examples = self.examples
        return estimate(
            self.primary, examples.target, values, groups=examples.groups, times=examples.times, seed=self.spec.seed
        )

    def against(self, one: Candidate, best: Candidate | None) -> tuple[Estimate | None, bool, str]:
        """(paired gain, more is better; kept; why)."""
        if best is None:
            return None, True, "the first rung"
        if not len(self.examples):
            return None, False, "one row a class: nothing tells methods apart"
        gain = self._gain(self.primary, one, best)
        if gain.low > 0:
            return gain, True, "its gain excludes zero"
        if self.loss is not None and gain.value >= 0 and self._gain(self.loss, one, best).low > 0:
            return gain, True, "no loss, and the gain in log loss excludes zero"
        return gain, False, "no clear gain"

    def _gain(self, metric: Metric, one: Candidate, best: Candidate) -> Estimate:
        a, b = self.finished(one).values, self.finished(best).values
        examples = self.examples
        found = paired(
            metric, examples.target, a, b, groups=examples.groups, times=examples.times, seed=self.spec.seed
        )
        if metric.higher_is_better:
            return found
        return Estimate(-found.value, -found.high, -found.low, found.n)
