"""One trial: what is tried next, and how good it is out of fold. The same trial gives the same figures anywhere."""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline.errors import MissingExtra, TrainError
from trunkline.methods import METHODS
from trunkline.methods.ladder import Judge, Shows
from trunkline.methods.tunable import FoldByFold
from trunkline.proof.tuned import Choice, Tried
from trunkline.spec import Spec
from trunkline.terminal import SILENT, Ended, Progress
from trunkline.tuning.space import Params, Space, applied
from trunkline.types import Ask, Examples, Prediction, Task

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

Direction: TypeAlias = Literal["maximize", "minimize"]
KEPT = "outcome"  # the name under which Optuna keeps it whole
AHEAD = 4  # trials that may run side by side without one knowing what another found
AGAIN = 10  # draws until one is new
FIRST = 10  # trials that are drawn at random, before any are drawn near the good ones
SPARED = 5  # trials of a method that nobody cuts short
FOLD = 1000  # a fold ends at a multiple of it; epochs are counted between


class Outcome(Tried, frozen=True):
    """params: where in the space; {} of the product as it is. steps: the primary metric so far, by fold and epoch."""

    params: Params = msgspec.field(default_factory=dict)
    steps: dict[int, float] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """What all trials have in common. most: trials, so that a small space is gone through in order."""

    spec: Spec
    task: Task
    examples: Examples
    space: Space
    ask: Ask
    most: int

    @cached_property
    def points(self) -> list[Params] | None:
        return self.space.every(self.most)

    @cached_property
    def judge(self) -> Judge:
        return Judge(self.spec, self.task, self.examples)

    @property
    def direction(self) -> Direction:
        return "maximize" if self.judge.primary.higher_is_better else "minimize"


def seen(number: int, done: Mapping[int, Outcome], ahead: int) -> list[Outcome] | None:
    """What a trial may know of: those at least `ahead` before it, whichever ended first, so that chance has no say.
    None while one of them isn't done yet."""
    wanted = range(1, number - ahead + 1)
    return [done[at] for at in wanted] if all(at in done for at in wanted) else None


def run(bench: Bench, number: int, past: Sequence[Outcome]) -> Outcome:
    """The trial of this number; what goes wrong in it is told, and ends only it."""
    started = time.perf_counter()
    params = next_params(bench, number, past)
    choice = bench.space.choice(params)
    watch = Watch(bench, choice, past)

    def ended(state: Literal["done", "pruned", "failed"], value: float | None = None, why: str = "") -> Outcome:
        seconds = round(time.perf_counter() - started, 3)
        return Outcome(number, choice, state, value, seconds, why, params, watch.steps)

    try:
        value = bench.judge.score(out_of_fold(bench.spec, bench, choice, watch))
    except Ended as seen_enough:
        return ended("pruned", why=str(seen_enough))
    except Exception as error:  # noqa: BLE001  whatever a library raises for settings that it can't take
        return ended("failed", why=f"{type(error).__name__}: {error}".replace("\n", "; ")[:500])
    if not math.isfinite(value):
        return ended("failed", why=f"{bench.judge.primary.name} can't be computed")
    return ended("done", value)


def next_params(bench: Bench, number: int, past: Sequence[Outcome]) -> Params:
    """By Optuna's TPE (Bergstra et al. 2011, settings of a method together) from what is known; drawn again where the
    same was tried."""
    if bench.points is not None:
        return bench.points[number - 1]
    known = {repr(bench.space.choice(outcome.params)) for outcome in past}
    with quiet():
        import optuna

        for attempt in range(AGAIN):
            sampler = optuna.samplers.TPESampler(
                seed=_seed(bench.spec.seed, number, attempt), n_startup_trials=FIRST, multivariate=True, group=True
            )
            study = optuna.create_study(sampler=sampler, direction=bench.direction)
            study.add_trials([frozen(bench.space, outcome) for outcome in past if outcome.state != "failed"])
            params = bench.space.draw(study.ask())
            if repr(bench.space.choice(params)) not in known:
                break
    return params


def out_of_fold(spec: Spec, bench: Bench, choice: Choice, watch: Watch | None = None) -> Prediction:
    """The prediction for all rows by models that hadn't seen them; folds and networks by the spec's seed.

    Raises TrainError where the method can't learn the product so, Ended where `watch` has seen enough.
    """
    made = applied(spec, choice)
    method = METHODS.get(choice.method)()
    refused = method.can(made, bench.examples)
    if refused is not None:
        raise TrainError(refused.message)
    folds = bench.task.folds(bench.examples, made.method.folds, made.seed)
    if isinstance(method, Shows):
        method.progress = watch or SILENT
    if not isinstance(method, FoldByFold):
        return method.fit(made, bench.examples, folds, bench.ask).out_of_fold
    known = _Growing()
    with closing(method.held_out(made, bench.examples, folds, bench.ask)) as parts:
        for rows, prediction in parts:
            known.add(rows, prediction)
            if watch is not None and len(known.rows) < len(folds):
                watch.fold(*known.so_far)
    return known.so_far[1]


class Watch(Progress):
    """Follows a trial, and ends it where it does worse than the middle of its method's trials did by then (Optuna's
    MedianPruner)."""

    def __init__(self, bench: Bench, choice: Choice, past: Sequence[Outcome]) -> None:
        self.bench, self.steps, self.folds = bench, dict[int, float](), 0
        own = [outcome for outcome in past if outcome.state == "done" and outcome.choice.method == choice.method]
        with quiet():
            import optuna

            pruner = optuna.pruners.MedianPruner(n_startup_trials=SPARED, n_warmup_steps=0)
            study = optuna.create_study(direction=bench.direction, pruner=pruner)
            study.add_trials([frozen(bench.space, outcome) for outcome in own])
            self._trial = study.ask()

    def epoch(self, name: str, number: int, figures: Mapping[str, float]) -> None:
        value = figures.get(self.bench.judge.primary.name)
        if value is not None:
            self._tell(FOLD * self.folds + number, value, f"{name}, epoch {number}")

    def fold(self, rows: NDArray[np.int64], prediction: Prediction) -> None:
        """These rows' folds are through."""
        self.folds += 1
        part = Judge(self.bench.spec, self.bench.task, self.bench.examples.take(rows))
        self._tell(FOLD * self.folds, part.score(prediction), f"fold {self.folds}")

    def _tell(self, step: int, value: float, where: str) -> None:
        if not math.isfinite(value):
            return
        self.steps[step] = value
        self._trial.report(value, step)
        if self._trial.should_prune():
            raise Ended(f"worse than the middle by then: {value:.4g} after {where}")


class _Growing:
    """Predictions of some rows, joined as they come."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self._values: list[Any] = []

    def add(self, rows: NDArray[np.int64], prediction: Prediction) -> None:
        self.rows += rows.tolist()
        self._values += list(prediction.values)

    @property
    def so_far(self) -> tuple[NDArray[np.int64], Prediction]:
        """(the rows in order, their prediction)."""
        order = np.argsort(self.rows)
        values = np.empty(len(order), object) if isinstance(self._values[0], tuple) else None
        picked = [self._values[at] for at in order.tolist()]
        if values is None:
            values = np.stack(picked)
        else:
            values[:] = picked
        return np.asarray(self.rows, np.int64)[order], Prediction(values)


def frozen(space: Space, outcome: Outcome) -> FrozenTrial:
    """An outcome as Optuna keeps it."""
    from optuna.trial import TrialState, create_trial

    states = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    return create_trial(
        state=states[outcome.state],
        value=outcome.value,
        params=outcome.params,
        distributions={name: space.distribution(name) for name in outcome.params},
        intermediate_values=outcome.steps,
        user_attrs={KEPT: msgspec.json.encode(outcome).decode()},
    )


def _seed(*parts: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4])


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna without its log lines and its word on which of its parts are new."""
    try:
        import optuna
    except ImportError:
        raise MissingExtra("Optuna", "tune") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
