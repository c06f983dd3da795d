"""What is to be made smaller: a bundle, the rows it was learned from, and those of them by which forms are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from trunkline.bundle import Bundle
from trunkline.engines.own import Owned
from trunkline.errors import DataError, TrainError
from trunkline.heads import HEADS
from trunkline.line.train import Checked, Line
from trunkline.methods import METHODS
from trunkline.methods.learning import validation
from trunkline.methods.network import Network
from trunkline.shrink.measure import Stand
from trunkline.spec import Spec
from trunkline.terminal import Progress
from trunkline.trunks.cache import cache_folder
from trunkline.types import Examples, Inputs, Task

SHARE = 0.2  # of the training rows that are held out where the method held none out
CALIBRATION = 256  # rows by which scales of convolutions are fixed
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Job:
    """calibration: rows for static int8. unlabelled: rows of the product without answers."""

    line: Line
    bundle: Bundle
    checked: Checked
    calibration: Examples
    unlabelled: Sequence[Inputs] = ()

    @property
    def spec(self) -> Spec:
        return self.line.spec

    @property
    def task(self) -> Task:
        return self.line.task

    @property
    def train(self) -> Examples:
        return self.checked.loaded.train

    @property
    def progress(self) -> Progress:
        return self.line.progress

    @property
    def method(self) -> str:
        return self.bundle.manifest.method

    @property
    def folder(self) -> Path:
        """For files made on the way."""
        return cache_folder() / "training" / f"{self.spec.name}-shrink-{self.bundle.manifest.digest.answers[:16]}"

    @cached_property
    def share(self) -> float:
        """Of the training rows, held out."""
        method = METHODS.get(self.method)
        if not issubclass(method, Network) or self.held_none:
            return SHARE
        return float(self.spec.method.settings.get("validation", method.settings().validation))

    @property
    def held_none(self) -> bool:
        """Has the bundle's network learned from every training row?"""
        return bool(self.bundle.networks) and self.method in ("contrastive", "onnx")

    @cached_property
    def parted(self) -> tuple[Index, Index]:
        """(rows to learn from, rows to compare forms by): those that a network of the bundle was stopped by and never
        learned from. Raises TrainError where there are too few."""
        fit, held = validation(self.train, np.arange(len(self.train)), self.share, self.spec.seed)
        if not len(held):
            raise TrainError("there are too few rows to compare forms by", found=f"{len(self.train)} training rows", wanted="50 or more")
        return fit, held

    @property
    def held(self) -> Examples:
        return self.train.take(self.parted[1])

    @cached_property
    def whole(self) -> Stand:
        """As the bundle answers."""
        from safetensors.numpy import load

        raw = orjson.loads(self.bundle.read("head.json"))
        head = HEADS.get(raw["format"]).load(raw["meta"], load(self.bundle.read("head.safetensors")))
        return Stand(head, self.bundle.decision, {f"own:{name}": own for name, own in self.bundle.networks.items()})

    @cached_property
    def before(self) -> Stand:
        """What forms are compared with on the held rows: the bundle, or where its head has learned from these rows, a head
        of its method that has not."""
        if self.bundle.networks:
            return self.whole
        method, fit = METHODS.get(self.method)(), self.train.take(self.parted[0])
        folds = self.task.folds(fit, self.spec.method.folds, self.spec.seed)
        learned = method.fit(self.spec, fit, folds, self.line.ask)
        return Stand(learned.head, self.task.calibrate(self.spec, fit, learned.out_of_fold), learned.networks)

    @property
    def own(self) -> Owned | None:
        """The bundle's network."""
        return next(iter(self.bundle.networks.values()), None)

    def desk(self, stand: Stand) -> Line:
        """The line with a form's networks."""
        return replace(self.line, networks=stand.networks)


def calibrating(rows: Examples, task: str, seed: int) -> Examples:
    """CALIBRATION of the rows, the classes in turn. Raises DataError where they are all of one class: scales fixed by them
    would cut off what the others need."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows))
    if task == "classify":
        target = rows.target[order]
        if len(np.unique(target)) < 2:
            label = rows.labels[int(target[0])] if len(target) else "none"
            raise DataError(
                "the calibration rows are all of one class", found=f"{len(rows)} rows of {label!r}", wanted="rows of two classes or more",
                hint="--calibration FILE with rows of every class, or leave it out: training rows are taken then",
            )  # fmt: skip
        turn = np.zeros(len(order), np.int64)
        for label in np.unique(target):
            turn[target == label] = np.arange(int((target == label).sum()))
        order = order[np.argsort(turn, kind="stable")]
    return rows.take(order[:CALIBRATION])
