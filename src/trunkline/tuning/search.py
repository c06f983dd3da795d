"""The search: trials side by side until their number or the time is up, then what the best of them brings."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from trunkline.data.checks.labels import one_answer
from trunkline.data.read import read_training
from trunkline.desk import Desk
from trunkline.engines.threads import workers as cores
from trunkline.errors import DataError, TrainError
from trunkline.files import folder_lock
from trunkline.methods.ladder import climb
from trunkline.proof.tuned import AS_IT_IS, Choice, Tried, Tuned
from trunkline.spec import Spec
from trunkline.tasks import TASKS
from trunkline.terminal import SILENT, Progress
from trunkline.tuning import found
from trunkline.tuning.space import applied, space_of
from trunkline.tuning.study import Study, search_of
from trunkline.tuning.trial import AHEAD, Bench, Outcome, out_of_fold, seen
from trunkline.tuning.worker import start_message, trial_message
from trunkline.tuning.workers import Reply, Workers
from trunkline.types import Estimate


@dataclass(frozen=True)
class Done:
    """ran: trials of this run; those before it were found on disk. seconds: of this run's trials, as a clock had it."""

    tuned: Tuned
    ran: int
    seconds: float


def tune(
    spec: Spec, folder: Path, desk: Desk, progress: Progress = SILENT, *,
    jobs: int | None = None, trials: int | None = None, seconds: float | None = None,
) -> Done:  # fmt: skip
    """Search the product's settings on its training rows, or go on where a search of the same was stopped.

    jobs: processes (a core each); all cores if not given. trials, seconds: in place of the spec's. The same trials give
    the same result, stopped between or not and whatever the jobs, up to AHEAD of them; a time budget may end earlier.
    Raises SpecError (nothing to search, a range that can't be), DataError, TrainError (the product itself can't be
    learned, or no trial could be run), BusyError while another search runs, MissingExtra.
    """
    jobs = jobs or cores()
    with folder_lock(folder / found.FOLDER, "tuning"):
        task = TASKS.get(spec.task)()
        examples, digest = read_training(spec, task, folder)
        if fault := one_answer(examples, spec.label):
            raise DataError(fault.message, where=str(folder), hint=fault.fix)
        space = space_of(spec, examples)
        bench = Bench(spec, task, examples, space, desk.ask(progress), trials or spec.tune.trials)
        name = search_of(spec, space, digest, desk, max(jobs, AHEAD))
        study = Study(folder / found.FOLDER, name, bench.direction)
        progress.station("data", f"{len(examples):,} training rows; the test rows stay closed")
        done = study.outcomes()
        if AS_IT_IS not in done:
            done[AS_IT_IS] = as_it_is(bench, progress)
            study.add(space, done[AS_IT_IS])
        progress.station("as it is", _told(bench, done[AS_IT_IS]))
        before, started = len(done), time.perf_counter()
        start = start_message(bench, folder, digest, desk.features)
        with _Search(bench, study, done, Workers(jobs, start, folder / found.FOLDER), progress) as search:
            search.run(started + (seconds or spec.tune.seconds or float("inf")))
        spent = time.perf_counter() - started
        progress.station("search", f"{len(done) - before} trials in {spent:,.1f} s{_earlier(before - 1)}")
        tuned = _result(bench, study, name, done, found.last(folder), progress)
        found.keep(folder, tuned)
        return Done(tuned, len(done) - before, round(spent, 3))


def as_it_is(bench: Bench, progress: Progress) -> Outcome:
    """The product by its own method and settings: the ladder's choice under auto. Raises TrainError."""
    started = time.perf_counter()
    climbed = climb(bench.spec, bench.task, bench.examples, bench.ask, progress)
    progress.close()
    choice = Choice(climbed.method, dict(bench.spec.method.settings))
    value = bench.judge.score(climbed.candidate.out_of_fold)
    return Outcome(AS_IT_IS, choice, "done", value, round(time.perf_counter() - started, 3))


class _Search:
    """Gives trials to workers as soon as they may begin, and keeps what comes back."""

    def __init__(self, bench: Bench, study: Study, done: dict[int, Outcome], workers: Workers, progress: Progress) -> None:
        self.bench, self.study, self.done, self.workers, self.progress = bench, study, done, workers, progress
        self.ahead = max(workers.count, AHEAD)
        self.most = bench.most if bench.points is None else len(bench.points)
        self.running: set[int] = set()

    def __enter__(self) -> _Search:
        return self

    def __exit__(self, *_: object) -> None:
        self.workers.close()
        self.progress.close()

    def run(self, until: float) -> None:
        while True:
            if time.perf_counter() < until:
                self._begin()
            if not self.running:
                return
            for reply in self.workers.replies():
                self._end(reply)

    def _begin(self) -> None:
        for number in range(1, self.most + 1):
            if not self.workers.free():
                return
            if number in self.done or number in self.running:
                continue
            past = seen(number, self.done, self.ahead)
            if past is None:
                return  # and so for those behind it
            self.workers.give(number, trial_message(number, past))
            self.running.add(number)

    def _end(self, reply: Reply) -> None:
        self.running.discard(reply.number)
        if reply.outcome is None:
            outcome = Outcome(reply.number, Choice(""), "failed", why=reply.why)
        else:
            outcome = msgspec.convert(reply.outcome, Outcome, strict=False)
        self.study.add(self.bench.space, outcome)
        self.done[reply.number] = outcome
        self.progress.step("search", len(self.done) - 1, self.most, f"best {_best(self.bench, self.done).value:.4g}", "trials")


def _best(bench: Bench, done: Mapping[int, Outcome]) -> Outcome:
    """The product as it is where nothing is better; of equals the first."""
    sign = 1 if bench.judge.primary.higher_is_better else -1
    return max((o for o in done.values() if o.value is not None), key=lambda o: (sign * (o.value or 0.0), -o.number))


def _result(bench: Bench, study: Study, name: str, done: Mapping[int, Outcome], last: Tuned | None, progress: Progress) -> Tuned:
    searched = [outcome for number, outcome in sorted(done.items()) if number != AS_IT_IS]
    if searched and all(outcome.state == "failed" for outcome in searched):
        raise TrainError("no trial could be run", found=searched[0].why, hint="other ranges under [tune.ranges]")
    best, primary = _best(bench, done), bench.judge.primary
    known = last is not None and last.search == name and last.best == best.number and last.gain is not None
    gain = last.gain if last is not None and known else measured(bench, done[AS_IT_IS].choice, best, progress)
    keys = msgspec.structs.fields(Tried)
    trials = tuple(Tried(**{key.name: getattr(done[number], key.name) for key in keys}) for number in sorted(done))
    told = best.choice.method if best.number != AS_IT_IS else _most_tried(searched)
    return Tuned(
        name, primary.name, primary.unit, primary.higher_is_better, len(bench.examples), trials, best.number,
        study.importance(told, bench.spec.seed), gain, round(sum(trial.seconds for trial in trials), 3),
    )  # fmt: skip


def _most_tried(searched: Sequence[Outcome]) -> str:
    counts = Counter(outcome.choice.method for outcome in searched if outcome.state == "done")
    return counts.most_common(1)[0][0] if counts else ""


def measured(bench: Bench, before: Choice, best: Outcome, progress: Progress) -> Estimate | None:
    """What the best settings bring over those before. The best of many looks better than it is on the folds it was
    chosen by, so both are learned again with folds and networks of another seed."""
    if best.number == AS_IT_IS:
        return None
    fresh = replace(bench, spec=msgspec.structs.replace(bench.spec, seed=bench.spec.seed + 1))
    new, old = (out_of_fold(fresh.spec, fresh, choice) for choice in (best.choice, before))
    gain = fresh.judge.gain(new, old)
    progress.station("measure", f"gain on folds of another seed {gain.value:+.4g} ({gain.low:+.4g} to {gain.high:+.4g})")
    return gain


def _told(bench: Bench, outcome: Outcome) -> str:
    return f"{bench.judge.primary.name} {outcome.value:.4g} out of fold ({applied(bench.spec, outcome.choice).method.name})"


def _earlier(count: int) -> str:
    return f", {count} of an earlier run" if count > 0 else ""
