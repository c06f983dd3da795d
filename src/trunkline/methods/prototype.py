"""The method `prototype`: the class whose mean vector is nearest; for a handful of rows a class.

Snell, Swersky, Zemel 2017 (prototypical networks), here on frozen vectors and cosines.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from trunkline.heads.neighbours import NeighboursHead
from trunkline.heads.rowwise import unit_rows
from trunkline.methods.dense_rows import DenseRows, check_budget, read_rows
from trunkline.methods.neighbourhood import SHARPNESS, Known, choose, head_of, known_prior, refuse_neighbours
from trunkline.methods.settings import read_settings
from trunkline.methods.table_target import Answers, answers_of
from trunkline.methods.tunable import Searched
from trunkline.spec import Range, Spec
from trunkline.types import Ask, Candidate, Examples, Folds, Refused


class PrototypeSettings(msgspec.Struct, frozen=True):
    """None = chosen by out-of-fold loss."""

    sharpness: Annotated[float, Meta(gt=0)] | None = None


class Prototype:
    """One mean direction a class; nothing is fitted but one number."""

    name: ClassVar[str] = "prototype"

    def check(self, spec: Spec) -> None:
        read_settings(spec, self.name, PrototypeSettings)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        if spec.task != "classify":
            return Refused("cannot", f"prototype does classify, not {spec.task}")
        return refuse_neighbours(spec, self.name)

    def searched(self, spec: Spec) -> Searched:
        return Searched(PrototypeSettings, {"sharpness": Range(5.0, 160.0, log=True)})

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Raises SpecError (settings), TrainError (the head is over its budget)."""
        settings = read_settings(spec, self.name, PrototypeSettings)
        rows, answers = read_rows(spec, examples, ask), answers_of(spec, examples)
        grid = (settings.sharpness,) if settings.sharpness else SHARPNESS

        def head(at: NDArray[np.int64], sharpness: float) -> NeighboursHead:
            known = _means(rows, answers, at, len(examples.labels))
            return head_of(rows, known, known_prior(answers.take(at), len(examples.labels)), len(known.points), sharpness)

        sharpness, out_of_fold = choose(rows, answers, folds, head, grid)
        whole = head(np.arange(len(examples)), sharpness)
        check_budget(whole, spec, self.name)
        return Candidate(whole, out_of_fold, {"sharpness": sharpness})


def _means(rows: DenseRows, answers: Answers, at: NDArray[np.int64], labels: int) -> Known:
    """One point for each class that has rows at `at`."""
    unit = unit_rows(rows.pooled[at] - rows.origin)
    classes = answers.values[at]
    present = np.unique(classes)
    points = np.stack([unit[classes == label].mean(axis=0) for label in present])
    return Known(points, np.eye(labels, dtype=np.float32)[present])
