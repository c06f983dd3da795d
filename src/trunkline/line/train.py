"""The straight line: spec -> rows -> examples -> features -> head -> proof -> bundle.

This file has the order and no logic of its own; each station is one function of its own module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from trunkline.bundle import Bundle, freeze
from trunkline.bundle.replay import record
from trunkline.data.checks import check_data, leaks, with_wrong_labels
from trunkline.data.loaded import Loaded
from trunkline.data.read import open_path, read_examples, read_rows
from trunkline.desk import Desk
from trunkline.engines.own import Owned
from trunkline.errors import DataError
from trunkline.files import folder_lock
from trunkline.line.reasons import reasoned
from trunkline.methods import METHODS
from trunkline.methods.ablation import without_each
from trunkline.methods.curve import learning_curve
from trunkline.methods.dense_rows import size_of
from trunkline.methods.ladder import Climbed, climb
from trunkline.methods.onnx import may_have_seen, network_files, own_networks
from trunkline.methods.settings import check_settings
from trunkline.metrics.traffic import known_figures
from trunkline.program import one
from trunkline.proof import (
    Report,
    check_rules,
    figures_before,
    headline,
    machine,
    measure_latency,
    prove,
    render_card,
    render_html,
)
from trunkline.record import Kept
from trunkline.shelf import Shelf
from trunkline.spec import Spec
from trunkline.tasks import TASKS
from trunkline.terminal import SILENT, Progress, Stopwatch
from trunkline.tuning.found import used
from trunkline.types import (
    Ask,
    Candidate,
    DataReport,
    Decision,
    Evidence,
    Examples,
    Finding,
    Folds,
    Head,
    Inputs,
    Latency,
    Prediction,
    Task,
)
from trunkline.views import data_sentence

WORK = ".trunkline"  # what is kept beside a product besides its bundles


@dataclass(frozen=True)
class Checked:
    """Rows that may be trained on, with what the checks found in all of them."""

    loaded: Loaded
    report: DataReport


@dataclass(frozen=True)
class Line:
    """What every station needs: the product, its task, where compute comes from, who is told."""

    spec: Spec
    folder: Path
    desk: Desk
    progress: Progress = SILENT
    networks: Mapping[str, Owned] = field(default_factory=dict)  # that only this product has
    kept: Kept | None = None  # where the product's record is, if not beside it
    watch: Stopwatch = field(default_factory=Stopwatch)

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.folder, self.kept)

    @property
    def task(self) -> Task:
        return TASKS.get(self.spec.task)()

    @property
    def ask(self) -> Ask:
        return self.desk.ask(self.progress, self.networks)


def train(line: Line) -> Bundle:
    """Check, learn, prove, judge and pack one product; nothing goes live.

    A gate that fails still leaves its bundle: see `bundle.manifest.passed`. Raises DataError,
    SpecError, TrainError, TrunkError, or BusyError while another training runs in the folder.
    """
    with folder_lock(line.folder / WORK, "training"):
        watch, shelf = line.watch, line.shelf
        shelf.check()
        line = replace(line, networks=own_networks(line.spec, line.folder))
        checked = check(line)
        train_rows = checked.loaded.train
        stop_on_faults(checked.report, line.folder)
        watch.lap("data")
        climbed = climb(line.spec, line.task, train_rows, line.ask, line.progress)
        line = replace(line, networks={**line.networks, **climbed.candidate.networks})
        line.progress.station("learn", f"{climbed.method}, {len(climbed.rungs)} tried")
        decision = line.task.calibrate(line.spec, train_rows, climbed.candidate.out_of_fold)
        watch.lap("learn")
        bundle = shelf.add(
            lambda place, version: pack(line, checked, climbed, decision, watch, place, version)
        )
        shelf.prune(line.spec.keep)
        watch.lap("pack")
        return bundle


def check(line: Line) -> Checked:
    """Read the rows and look for faults; training rows that nearly equal test rows are left out. Raises SpecError, DataError."""
    check_settings(line.spec)
    loaded = read_examples(line.spec, line.task, line.folder)
    report = check_data(line.spec, loaded, line.desk.max_tokens(line.spec))
    check_rules(line.spec.gate.rules, figures_before(line.spec, line.task, loaded.train))
    rollout = line.spec.rollout
    check_rules([*rollout.promote, *rollout.rollback], known_figures(), "rollout")
    line.progress.station("data", data_sentence(report))
    return Checked(without_leaks(loaded), report)


def without_leaks(loaded: Loaded) -> Loaded:
    return loaded.keep(~leaks(loaded))


def stop_on_faults(report: DataReport, folder: Path) -> None:
    """Raises DataError for the first finding that training can't stand on."""
    for finding in report.findings:
        if finding.severity == "stop":
            raise DataError(
                finding.message, where=report.source, hint=finding.fix or f"trunkline validate {folder}"
            )


def pack(
    line: Line, checked: Checked, climbed: Climbed, decision: Decision, watch: Stopwatch, place: Path, version: str
) -> Bundle:
    """Prove a learned head on the test rows, judge it, and write its bundle."""
    loaded, candidate = checked.loaded, climbed.candidate
    data = with_wrong_labels(line.spec, loaded, checked.report, candidate.out_of_fold.values)
    if line.networks and not candidate.networks:  # learned elsewhere
        data = replace(data, findings=[*data.findings, may_have_seen(loaded.train)])
    evidence = evidence_of(line, candidate.head, decision, loaded.test, data, version)
    evidence = replace(
        evidence,
        rungs=climbed.rungs,
        # a network has no curve: fewer rows teach one from elsewhere nothing less, and one of ours costs minutes a point
        curve=() if line.networks or not climbed.tried else learning_curve(line.spec, line.task, loaded.train, climbed, line.ask),
        baselines=baselines(line, loaded.train, loaded.test, climbed.folds, climbed.tried),
        without=without_each(line.spec, line.task, loaded.train, loaded.test, climbed, line.ask),
        live=live_prediction(line, loaded.test),
        tuned=used(line.spec, line.folder),
        epochs=[(each["number"], each["loss"], each["figures"].get("loss")) for each in candidate.settings.get("curve", ())],
        notes=candidate.settings.get("notes", ()),
    )
    report = prove(evidence)
    watch.lap("prove")
    report = reasoned(report, evidence, candidate.head, loaded.train, line.networks, line.ask, line.desk.ask_uncached(line.networks))
    watch.lap("explain")
    report = msgspec.structs.replace(report, seconds=dict(watch.seconds))
    line.progress.station("prove", headline(report, report.language))
    return freeze(
        place,
        spec=line.spec,
        version=version,
        method=climbed.method,
        head=candidate.head,
        decision=decision,
        labels=loaded.train.labels,
        trunks=evidence.trunks,
        report=report.as_dict(),
        html=render_html(report, report.language),
        card=render_card(report, report.language),
        data=pointer(loaded, data),
        verdict_passed=report.verdict.passed,
        replays=record(
            line.spec.inputs, candidate.head, line.task, decision, loaded.train.labels, loaded.test.inputs,
            line.desk.ask_uncached(line.networks),
        ),
        extra_files=network_files(line.networks, candidate.head, loaded.train, line.ask),
    )


def evaluate(line: Line, bundle: Bundle, data: Path) -> Report:
    """The proof of a bundle on the rows of another file, beside baselines learned from the product's own
    training rows, with the reasons of its mistakes. Raises DataError."""
    explain = line.spec.explain and bundle.spec.explain
    line = replace(line, spec=msgspec.structs.replace(bundle.spec, explain=explain), networks=bundle.engines)
    test, refused = read_rows(bundle.spec, open_path(data), bundle.labels, line.task)
    train_rows = None
    if can_train(line):
        train_rows = without_leaks(read_examples(bundle.spec, line.task, line.folder)).train
    about = DataReport(
        rows={"train": 0, "test": len(test), "dropped": len(refused)},
        findings=seen_rows(train_rows, test), columns={}, labels={}, source=data.name, digest="",
    )  # fmt: skip
    evidence = evidence_of(line, bundle.head(), bundle.decision, test, about, bundle.version)
    if train_rows is not None:
        folds = line.task.folds(train_rows, line.spec.method.folds, line.spec.seed)
        evidence = replace(evidence, baselines=baselines(line, train_rows, test, folds, {}))
    report = prove(replace(evidence, live=live_prediction(line, test)))
    return reasoned(report, evidence, bundle.head(), train_rows, line.networks, line.ask, line.desk.ask_uncached(line.networks))


def seen_rows(train_rows: Examples | None, test: Examples) -> list[Finding]:
    """Rows that the product was trained on prove nothing; they are counted."""
    known = {repr(row) for row in train_rows.inputs} if train_rows is not None else set()
    count = sum(repr(row) in known for row in test.inputs)
    if not count:
        return []
    return [
        Finding(
            "seen_rows",
            "warn",
            count / len(test),
            count,
            f"{count:,} of these {len(test):,} rows were trained on: the figures look better than they are",
            f"这 {len(test):,} 行中有 {count:,} 行参与过训练，指标会偏高",
            fix="evaluate on rows that are not in the training data",
        )
    ]


def can_train(line: Line) -> bool:
    """Are the product's training rows here? An imported product has none."""
    train_data = line.spec.data.train
    return not isinstance(train_data, str) or (line.folder / train_data).exists()


def evidence_of(
    line: Line, head: Head, decision: Decision, test: Examples, data: DataReport, version: str
) -> Evidence:
    """What a head answers on the test rows, how fast, and how large it is."""
    prediction = predicted(line, head, decision, test, line.ask)
    return Evidence(
        spec=line.spec,
        task=line.task,
        test=test,
        prediction=prediction,
        answers=line.task.decode(prediction, decision, test.labels),
        decision=decision,
        baselines={},
        data=data,
        latency=latency(line, head, decision, test),
        size_bytes=size_of(head) + sum(network.size_bytes for network in line.networks.values()),
        trunks=line.desk.cards(line.spec),
        machine=machine(),
        version=version,
    )


def predicted(line: Line, head: Head, decision: Decision, rows: Examples, ask: Ask) -> Prediction:
    """Calibrated values of a head for examples: (n, ...) as `types.Prediction` says."""
    return line.task.finish(one(head.run(rows.inputs), ask), decision)


def latency(line: Line, head: Head, decision: Decision, test: Examples) -> Latency:
    """One row a call, computed and not looked up, from Values to answer."""
    ask = line.desk.ask_uncached(line.networks)

    def answer(rows: Sequence[Inputs]) -> object:
        finished = line.task.finish(one(head.run(rows), ask), decision)
        return line.task.decode(finished, decision, test.labels)

    return measure_latency(answer, test.inputs)


def baselines(
    line: Line, train_rows: Examples, test: Examples, folds: Folds, tried: Mapping[str, Candidate]
) -> dict[str, Prediction]:
    """Naive answers on the same test rows; one that was a rung of the ladder isn't learned again."""
    found = {}
    for name in line.task.baselines(line.spec):
        learned = tried.get(name) or METHODS.get(name)().fit(line.spec, train_rows, folds, line.ask)
        decision = line.task.calibrate(line.spec, train_rows, learned.out_of_fold)
        found[name] = predicted(line, learned.head, decision, test, line.ask)
    return found


def live_prediction(line: Line, test: Examples) -> Prediction | None:
    """What the serving bundle answers on the same rows; None without one or with other labels."""
    shelf = line.shelf
    version = shelf.live()
    if version is None:
        return None
    live = shelf.open(version)
    if live.labels != test.labels or dict(live.spec.inputs) != dict(line.spec.inputs):
        return None
    line = replace(line, spec=live.spec, networks=live.engines)
    return predicted(line, live.head(), live.decision, test, line.ask)


def pointer(loaded: Loaded, data: DataReport) -> dict[str, object]:
    """Where the rows were, never the rows."""
    return {
        "source": loaded.source,
        "rows": dict(data.rows),
        "digest": loaded.digest,
        "split": {"how": loaded.split.how, "share": loaded.split.share},
    }
