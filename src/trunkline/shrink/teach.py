"""A smaller network taught by the product as it is (Hinton et al. 2015, https://arxiv.org/abs/1503.02531): from the
product's training rows, by their answers and the teacher's scores, and from its own rows without answers, by the scores alone.

It is learned by the one training loop. Held-out rows teach nothing: they stop it, calibrate it, and it is compared by them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline.engines.own import Owned
from trunkline.files import turn
from trunkline.methods.learning import FoldSettings, Goal, Index, Learning, Material
from trunkline.methods.network import WAIT
from trunkline.methods.table_target import answers_of
from trunkline.program import one
from trunkline.shrink.job import Job
from trunkline.shrink.measure import Stand
from trunkline.types import Examples, Floats, Head, Inputs

TEMPERATURE = 2.0  # of both, while one teaches the other
SOFT = 0.7  # what the teacher's scores weigh; the right answers have the rest
LEAST = 1e-7  # probability that still has a logarithm


@dataclass(frozen=True)
class Lessons:
    """Rows, those with an answer first, and the teacher's scores of all: float32 (n, outputs), before the link."""

    examples: Examples
    scores: NDArray[np.float32]
    known: int  # rows with an answer
    fit: Index
    held: Index


def lessons(job: Job) -> Lessons:
    """Of a job: rows without answers that equal a test row or a held-out one are left out."""
    train, (fit, held) = job.train, job.parted
    judged = {repr(row) for row in (*job.checked.loaded.test.inputs, *job.held.inputs)}
    more = [row for row in job.unlabelled if repr(row) not in judged]
    examples = _longer(train, more)
    stand = job.before
    said = one(stand.head.run(examples.inputs), job.desk(stand).ask).values
    scores = scores_of(answers_of(job.spec, train).link, np.asarray(said))
    return Lessons(examples, scores, len(train), np.concatenate([fit, np.arange(len(train), len(examples))]), held)


def _longer(train: Examples, more: list[Inputs]) -> Examples:
    target = np.zeros((len(more), *train.target.shape[1:]), train.target.dtype)
    keys = [*train.keys, *(hashlib.sha256(repr(row).encode()).digest() for row in more)]
    every = np.arange(len(train) + len(more))
    return Examples([*train.inputs, *more], np.concatenate([train.target, target]), train.labels, keys, every)


def scores_of(link: str, values: Floats) -> NDArray[np.float32]:
    """Scores (n, outputs) that the link makes these `Prediction.values` of; for softmax up to a constant a row."""
    if link == "identity":
        return np.asarray(values, np.float32)[:, None]
    known = np.clip(np.asarray(values, np.float64), LEAST, 1 - LEAST)
    if link == "softmax":
        return np.log(known).astype(np.float32)
    yes = known[:, 1:] if link == "logistic" else known
    return np.log(yes / (1 - yes)).astype(np.float32)


class Teaching(Learning):
    """Learns `SOFT` of what the teacher said, and the rest of what is right."""

    def __init__(self, job: Job, given: Lessons, name: str, settings: FoldSettings, material: Material) -> None:
        told = hashlib.sha256(given.scores.tobytes()).hexdigest()
        spec = msgspec.structs.replace(job.spec, method=msgspec.structs.replace(job.spec.method, name=f"shrink {name}"))
        super().__init__(spec, given.examples, settings, replace(material, origin=f"{material.origin}{told}"), job.progress)
        self.given = given

    def parted(self, rows: Index) -> tuple[Index, Index]:
        return self.given.fit, self.given.held

    def goal(self, rows: Index) -> Goal:
        import torch

        from trunkline.training.losses import taught

        hard, link = super().goal(rows[rows < self.given.known]), self.answers.link
        scores = torch.from_numpy((self.given.scores - np.float32(hard.middle)) / np.float32(hard.spread))

        def target(at: Index) -> Any:
            known = np.flatnonzero(at < self.given.known)
            return scores[torch.from_numpy(at)], torch.from_numpy(known), hard.target(at[known])

        def loss(found: Any, wanted: Any) -> Any:
            soft, known, right = wanted
            total = SOFT * taught(found, soft, link, TEMPERATURE)
            if len(known):
                total = total + (1 - SOFT) * hard.loss(found[known], right) * (len(known) / len(found))
            return total

        return Goal(target, loss, hard.middle, hard.spread)

    def judged(self, module: Any, rows: Index, goal: Goal) -> dict[str, float]:
        """By the right answers alone."""
        return super().judged(module, rows, super().goal(self.given.fit[self.given.fit < self.given.known]))


def learned(learn: Teaching) -> tuple[Any, Any]:
    """(network, `training.loop.Learned`); two processes that teach the same take turns. Its checkpoint stays for a month,
    so that the same again, with another limit, takes seconds."""
    with turn(learn.folder.with_suffix(".lock"), WAIT):
        found: tuple[Any, Any] = learn(np.arange(len(learn.examples)), "taught")
    return found


def stand_of(job: Job, head: Head, networks: dict[str, Owned]) -> Stand:
    """With a decision of its own, by the held-out rows."""
    held, line = job.held, replace(job.line, networks=networks)
    decision = job.task.calibrate(job.spec, held, one(head.run(held.inputs), line.ask))
    return Stand(head, decision, networks)


def told_of(whole: Any) -> dict[str, Any]:
    """For the report: as `Candidate.settings` has the curve and the notes."""
    return {"curve": msgspec.to_builtins(whole.epochs), "notes": list(whole.notes), "temperature": TEMPERATURE, "soft": SOFT}
