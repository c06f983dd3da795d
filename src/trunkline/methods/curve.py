"""The learning curve: what the kept method would be with fewer rows, and so what more may bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec
import numpy as np

from trunkline.engines.threads import run_all
from trunkline.methods import METHODS
from trunkline.methods.crossfit import fewer_folds
from trunkline.methods.ladder import Climbed, Judge
from trunkline.methods.table_target import answers_of
from trunkline.program import one
from trunkline.spec import Spec
from trunkline.types import Ask, CurvePoint, Examples, Head, Ints, Prediction, Task

SHARES = (0.125, 0.25, 0.5)  # of the training rows
ENOUGH_ROWS = 1_000  # to judge a point by


@runtime_checkable
class Refits(Protocol):
    """A method that learns all rows by settings it chose before, without choosing again."""

    def refit(self, spec: Spec, examples: Examples, ask: Ask, settings: Mapping[str, Any]) -> Head: ...


def learning_curve(spec: Spec, task: Task, examples: Examples, climbed: Climbed, ask: Ask) -> list[CurvePoint]:
    """The kept method learned from growing shares of the training rows, with the settings all rows chose.

    A point's `rows` are those a model learned from; its figure is of rows held out of it, the last one's
    of the climb itself.
    """
    method = METHODS.get(climbed.method)()
    if isinstance(method, Refits):
        return _refitted(method, spec, task, examples, climbed, ask)
    return _in_halves(spec, task, examples, climbed, ask)


def _refitted(
    method: Refits, spec: Spec, task: Task, examples: Examples, climbed: Climbed, ask: Ask
) -> list[CurvePoint]:
    """Every point on the same rows: of as many folds as it takes for ENOUGH_ROWS."""
    folds = fewer_folds(climbed.folds, answers_of(spec, examples).outputs)
    every, rows = np.unique(folds, return_counts=True)
    held_out = every[: 1 + int((np.cumsum(rows) < ENOUGH_ROWS).sum())]
    judge = Judge(spec, task, examples, np.isin(folds, held_out))

    def held(part: Sequence[Ints]) -> Prediction:
        learned, asked = part
        head = method.refit(spec, examples.take(learned), ask, climbed.candidate.settings)
        return one(head.run(examples.take(asked).inputs), ask)

    parts = []
    for share in SHARES:
        for fold in held_out:
            rest, away = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            parts.append((rest[_sample(examples.take(rest), share, spec.seed)], away))
    found = run_all(held, parts)
    points = []
    for i in range(len(SHARES)):
        own = slice(i * len(held_out), (i + 1) * len(held_out))
        size = min(len(learned) for learned, _ in parts[own])
        if size >= _fewest(examples):
            whole = _scattered(found[own], [asked for _, asked in parts[own]], climbed.candidate.out_of_fold)
            points.append(CurvePoint(size, judge.value_of(whole, climbed.candidate)))
    size = len(folds) - max(len(asked) for _, asked in parts)
    return [*points, CurvePoint(size, judge.value(climbed.candidate))]


def _scattered(parts: Sequence[Prediction], places: Sequence[Ints], like: Prediction) -> Prediction:
    """Of all rows; those in no part keep what `like` says."""
    values = np.array(like.values)
    for part, at in zip(parts, places, strict=True):
        values[at] = part.values
    return Prediction(values)


def _in_halves(spec: Spec, task: Task, examples: Examples, climbed: Climbed, ask: Ask) -> list[CurvePoint]:
    """For methods that choose each time: out of two folds of the share."""
    points = []
    for share in SHARES:
        part = examples.take(_sample(examples, share, spec.seed))
        if len(part) // 2 < _fewest(part):
            continue
        method, folds = METHODS.get(climbed.method)(), task.folds(part, 2, spec.seed)
        candidate = method.fit(_chosen(spec, climbed), part, folds, ask)
        points.append(CurvePoint(len(part) // 2, Judge(spec, task, part).value(candidate)))
    k = len(np.unique(climbed.folds))
    whole = Judge(spec, task, examples).value(climbed.candidate)
    return [*points, CurvePoint(len(examples) * (k - 1) // k if k > 1 else len(examples), whole)]


def _chosen(spec: Spec, climbed: Climbed) -> Spec:
    """With the penalty known: choosing it again would cost most of the time."""
    settings = climbed.candidate.settings
    kept = {"penalty": settings["penalty"]} if "penalty" in settings else dict(spec.method.settings)
    choice = msgspec.structs.replace(spec.method, name=climbed.method, settings=kept)
    return msgspec.structs.replace(spec, method=choice)


def _fewest(examples: Examples) -> float:
    return float(4 * np.sqrt(max(1, len(examples.labels))))


def _sample(examples: Examples, share: float, seed: int) -> Ints:
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
