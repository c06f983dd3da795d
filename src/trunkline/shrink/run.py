"""Every form tried, each beside the product as it is; the cheapest that loses little becomes a bundle.

Forms are compared on held-out training rows. The test rows are touched once, by the form that was chosen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from trunkline.bundle import Bundle
from trunkline.errors import DataError, MissingExtra, TrunklineError
from trunkline.files import folder_lock
from trunkline.line.train import WORK, Line, check, pack
from trunkline.methods.ladder import Climbed
from trunkline.program import one
from trunkline.shrink import forms, students
from trunkline.shrink.forms import Made
from trunkline.shrink.job import Job, calibrating
from trunkline.shrink.measure import Costs, Loss, Stand, costs, loss
from trunkline.terminal import Stopwatch
from trunkline.types import Candidate, Estimate, Examples, Inputs, Refused, Rung

LOSS = 0.5  # points
FORMS: dict[str, Callable[[Job], Made | Refused]] = {  # in order of what they cost to make
    "bf16": forms.bf16, "int8": forms.int8, "pruned": students.pruned, "head": students.head, "words": students.words,
    "layers": students.layers,
}  # fmt: skip


@dataclass(frozen=True)
class Tried:
    """A form on the held-out rows; `why` alone where it can't be made."""

    name: str
    seconds: float
    why: str = ""
    size_bytes: int = 0
    loss: Loss | None = None
    costs: Costs | None = None
    made: Made | None = None

    def passes(self, limit: float, size_before: int) -> bool:
        """Does it lose little, and is it clearly faster, or smaller and not clearly slower?"""
        if self.loss is None or self.costs is None or not self.loss.points.value <= limit:
            return False
        return self.costs.times.low > 1 or (self.size_bytes < size_before and self.costs.times.high >= 1)


@dataclass(frozen=True)
class Outcome:
    """rows: held out, by which forms were compared. test: of the chosen form; its bundle only where that holds there too."""

    version: str
    rows: int
    size_before: int
    tried: Sequence[Tried]
    chosen: str = ""
    test: Loss | None = None
    bundle: Bundle | None = None
    note: str = ""


def shrink(
    line: Line, bundle: Bundle, limit: float = LOSS, names: Sequence[str] = (), calibration: Examples | None = None,
    unlabelled: Sequence[Inputs] = (),
) -> Outcome:  # fmt: skip
    """Try the forms `names` (all) of a bundle. line: with the bundle's spec. calibration: rows for static int8, else of
    the training rows. Raises DataError for rows that the bundle wasn't learned from, or a calibration of one class."""
    if not _has_onnx():
        raise MissingExtra("onnx", "train")
    with folder_lock(line.folder / WORK, "training"):
        line.shelf.check()
        watch, checked = Stopwatch(), check(line)
        if checked.loaded.digest != bundle.data["digest"]:
            raise DataError(
                f"these are not the rows that {bundle.version} was trained on", where=checked.loaded.source,
                found=f"digest {checked.loaded.digest[:12]}", wanted=str(bundle.data["digest"])[:12], hint=f"trunkline train {line.folder}",
            )  # fmt: skip
        rows = calibrating(calibration or checked.loaded.train, line.spec.task, line.spec.seed)
        job = Job(line, bundle, checked, rows, unlabelled)
        held = len(job.held)  # too few of them is one error before anything is tried
        watch.lap("data")
        tried = [_tried(job, name) for name in dict.fromkeys(names) or FORMS]
        watch.lap("learn")
        size = job.whole.size_bytes
        told = Outcome(bundle.version, held, size, tried, note=_seen(job))
        passing = [each for each in tried if each.passes(limit, size)]
        if not passing:
            return told
        best = min(passing, key=lambda each: (each.costs.after.value if each.costs else math.inf, each.size_bytes))
        return _proven(job, replace(told, chosen=best.name), best, limit, watch)


def _has_onnx() -> bool:
    from importlib.util import find_spec

    return find_spec("onnx") is not None


def _seen(job: Job) -> str:
    return "the network has learned from the rows that forms are compared by: a form that learned without them looks worse than it is" if job.held_none else ""


def _tried(job: Job, name: str) -> Tried:
    """One that can't be made, loaded or asked doesn't keep the others from being tried."""
    began = time.perf_counter()
    try:
        made: Made | Refused = FORMS[name](job)
        seconds = time.perf_counter() - began
        if not isinstance(made, Refused):
            found = Tried(name, seconds, "", made.stand.size_bytes, _loss(job, made.stand, job.held), _costs(job, made.stand), made)
            job.progress.station("shrink", f"{name}: {told_of(found)}")
            return found
    except TrunklineError as error:
        made = Refused("failed", "; ".join(filter(None, [error.what, error.found])))
    job.progress.station("shrink", f"{name}: {made.message}")
    return Tried(name, time.perf_counter() - began, made.message)


def told_of(tried: Tried) -> str:
    """In a line."""
    if tried.loss is None or tried.costs is None:
        return tried.why
    lost, spent = tried.loss.points, tried.costs
    return (
        f"loses {lost.value:.2f} ({lost.low:.2f} to {lost.high:.2f}), {spent.before.value:.2f} to {spent.after.value:.2f} ms a call "
        f"({spent.times.value:.1f} times less, {spent.times.low:.1f} to {spent.times.high:.1f})"
    )


def _loss(job: Job, stand: Stand, rows: Examples, before: Stand | None = None) -> Loss:
    was = before or job.before
    answers = [form.answered(job.task, rows.inputs, job.desk(form).ask) for form in (was, stand)]
    return loss(job.spec, job.task, rows, *answers)


def _costs(job: Job, stand: Stand) -> Costs:
    def answering(form: Stand) -> object:
        ask = job.line.desk.ask_uncached(form.networks)
        return lambda rows: job.task.decode(form.answered(job.task, rows, ask), form.decision, job.train.labels)

    return costs(answering(job.before), answering(stand), job.held.inputs)  # type: ignore[arg-type]


def _proven(job: Job, told: Outcome, best: Tried, limit: float, watch: Stopwatch) -> Outcome:
    assert best.made is not None
    stand = best.made.stand
    test = _loss(job, stand, job.checked.loaded.test, job.whole)
    if not test.points.value <= limit:
        return replace(told, test=test)
    line = job.desk(stand)
    known = one(stand.head.run(job.train.inputs), line.ask)
    folds = job.task.folds(job.train, job.spec.method.folds, job.spec.seed)
    climbed = Climbed(
        best.made.method or job.method, Candidate(stand.head, known, best.made.told, stand.networks), _rungs(job, told), folds, {}
    )
    shelf = job.line.shelf
    bundle = shelf.add(lambda place, version: pack(line, job.checked, climbed, stand.decision, watch, place, version))
    shelf.prune(job.spec.keep)
    return replace(told, test=test, bundle=bundle)


def _rungs(job: Job, told: Outcome) -> tuple[Rung, ...]:
    """As the report's ladder shows them."""
    metric = job.task.metrics(job.spec, job.train.labels)[job.task.primary(job.spec)]
    nothing = Estimate(math.nan, math.nan, math.nan, 0)
    before = next(each.loss.before for each in told.tried if each.loss is not None)
    scale = 1 / 100 if metric.unit == "%" else abs(before.value) / 100
    rungs = [Rung(f"{job.method} {told.version}", metric.name, before, None, 0.0, told.size_before, False, "as it was")]
    for each in told.tried:
        lost = each.loss.points if each.loss is not None else None
        gain = None if lost is None else Estimate(-scale * lost.value, -scale * lost.high, -scale * lost.low, lost.n)
        value = nothing if each.loss is None else each.loss.after
        rungs.append(Rung(each.name, metric.name, value, gain, each.seconds, each.size_bytes, each.name == told.chosen, told_of(each)))
    return tuple(rungs)
