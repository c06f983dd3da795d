"""The three jobs, their working folders, and how a test set is scored."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.serving import DATA
from benchmarks.serving import JOBS as SPECS
from numpy.typing import NDArray

from trunkline.metrics import accuracy, accuracy_rows, auroc
from trunkline.proof.intervals import estimate, paired
from trunkline.types import Estimate, Metric

WORK = Path(os.environ.get("TRUNKLINE_BENCH_WORK", "/tmp")) / "trunkline-three-jobs"
ACCURACY = Metric("accuracy", True, accuracy, accuracy_rows)
AUROC = Metric("auroc", True, auroc)


@dataclass(frozen=True)
class Job:
    """One job. text: its text column, None for a table; positive: the label whose ranking AUROC judges,
    and which costs 5 when missed."""

    name: str
    data: str
    label: str
    text: str | None
    positive: str | None = None
    numbers: tuple[str, ...] = ()

    def folder(self, tool: str) -> Path:
        """A fresh folder with the job's rows, and the spec where the tool is ours."""
        folder = WORK / tool / self.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for part in ("train.csv", "test.csv"):
            shutil.copyfile(DATA / self.data / part, folder / part)
        if tool.startswith("ours"):
            shutil.copyfile(SPECS / self.name / "product.toml", folder / "product.toml")
        return folder

    def truth(self) -> list[str]:
        with (DATA / self.data / "test.csv").open(encoding="utf-8", newline="") as file:
            return [row[self.label] for row in csv.DictReader(file)]


JOBS = (
    Job("banking", "banking77", "category", "text"),
    Job("hotel", "chnsenticorp_hotel", "label", "review"),
    Job("credit", "german_credit", "risk", None, "bad", (
        "duration_months", "credit_amount", "installment_rate_pct", "residence_since", "age", "existing_credits",
        "dependents",
    )),
)  # fmt: skip


@dataclass(frozen=True)
class Scores:
    """What a tool said of the test rows: labels (C,), scores (n, C), answers (n,) where they aren't the
    likeliest label."""

    labels: list[str]
    scores: NDArray[np.float64]
    answers: list[str] | None = None

    @classmethod
    def of_answers(cls, answers: Sequence[str]) -> Scores:
        labels = sorted(set(answers))
        return cls(labels, np.array([[float(label == said) for label in labels] for said in answers]))

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, labels=np.array(self.labels), scores=self.scores, answers=np.array(self.answers or []))

    @classmethod
    def load(cls, path: Path) -> Scores:
        with np.load(path, allow_pickle=False) as found:
            return cls([str(x) for x in found["labels"]], found["scores"], [str(x) for x in found["answers"]] or None)

    def on(self, labels: Sequence[str]) -> NDArray[np.float64]:
        """(n, len(labels)) in the order of `labels`."""
        out = np.zeros((len(self.scores), len(labels)))
        for at, label in enumerate(self.labels):
            out[:, labels.index(label)] = self.scores[:, at]
        return out


def judged(job: Job, tool: str, scores: Scores) -> dict[str, str]:
    """Accuracy, AUROC and cost with their intervals, and ours minus it on the same rows.

    Ours must have been judged first for the differences to be there.
    """
    place = WORK / "scores"
    scores.save(place / f"{tool}-{job.name}.npz")
    truth = job.truth()
    others = Scores.load(place / f"ours-{job.name}.npz") if (place / f"ours-{job.name}.npz").exists() else None
    known = {*truth, *scores.labels, *(others.labels if others else ())}
    labels = sorted(known, key=lambda label: (label == job.positive, label))  # the positive one last
    target = np.array([labels.index(label) for label in truth])
    row: dict[str, str] = {}
    for name, metric in _metrics(job).items():
        values = _cost_values(scores, labels) if name == "cost a row" else scores.on(labels)
        row[name] = shown(estimate(metric, target, values))
        if others is not None and tool != "ours":
            ours = _cost_values(others, labels) if name == "cost a row" else others.on(labels)
            row[f"{name}: difference"] = shown(paired(metric, target, ours, values))
    return row


def _metrics(job: Job) -> dict[str, Metric]:
    if job.positive is None:
        return {"accuracy": ACCURACY}
    return {"accuracy": ACCURACY, "AUROC": AUROC, "cost a row": Metric("cost", False, _cost, _costs)}


def _cost_values(scores: Scores, labels: Sequence[str]) -> NDArray[np.float64]:
    """The answers given, one-hot: what was said, not what was likeliest."""
    return Scores.of_answers(scores.answers).on(labels) if scores.answers else scores.on(labels)


def _costs(target: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) price of each answer; the positive label is the last one and costs 5 when missed."""
    said, positive = values.argmax(axis=1), values.shape[1] - 1
    return np.where(said == target, 0.0, np.where(target == positive, 5.0, 1.0))


def _cost(target: NDArray[Any], values: NDArray[Any]) -> float:
    return float(_costs(target, values).mean())


def shown(found: Estimate) -> str:
    return f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"
