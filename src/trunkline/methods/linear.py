"""The method `linear`: logistic or ridge regression on the trunk's vectors and the table columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from trunkline.heads.linear import LinearHead
from trunkline.methods.crossfit import cross_fit
from trunkline.methods.dense_rows import (
    DenseRows,
    check_budget,
    landmarks_of,
    outside_of,
    read_rows,
    refuse_dense,
)
from trunkline.methods.settings import read_settings
from trunkline.methods.solve import Fitted, fit_linear
from trunkline.methods.table_target import Answers, answers_of
from trunkline.methods.tunable import Searched
from trunkline.spec import Range, Spec
from trunkline.types import Ask, Candidate, Examples, Folds, Prediction, Refused

PENALTIES = (0.02, 0.1, 0.5, 2.5)  # of vectors of mean length 1
NUMBER_PENALTIES = (0.1, 1.0, 10.0, 100.0)
RANGE, NUMBER_RANGE = Range(0.005, 10.0, log=True), Range(0.02, 500.0, log=True)


class LinearSettings(msgspec.Struct, frozen=True):
    """None = chosen by out-of-fold loss."""

    penalty: Annotated[float, Meta(gt=0)] | None = None


class Linear:
    """One linear model on frozen vectors: the plain use of a trunk."""

    name: ClassVar[str] = "linear"

    def check(self, spec: Spec) -> None:
        read_settings(spec, self.name, LinearSettings)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        return refuse_dense(spec, self.name)

    def searched(self, spec: Spec) -> Searched:
        return Searched(LinearSettings, {"penalty": NUMBER_RANGE if spec.task == "regress" else RANGE})

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Raises SpecError (settings), TrainError (the head is over its budget)."""
        settings = read_settings(spec, self.name, LinearSettings)
        rows, answers = read_rows(spec, examples, ask), answers_of(spec, examples)
        grid = NUMBER_PENALTIES if answers.link == "identity" else PENALTIES
        fit = cross_fit(rows.x, answers, folds, (settings.penalty,) if settings.penalty else grid)
        head = self._head(spec, rows, answers, fit.fitted)
        out_of_fold = Prediction(fit.values(answers.link), outside_of(spec, rows, answers, folds))
        return Candidate(head, out_of_fold, {"penalty": fit.penalty})

    def refit(self, spec: Spec, examples: Examples, ask: Ask, settings: Mapping[str, Any]) -> LinearHead:
        rows, answers = read_rows(spec, examples, ask), answers_of(spec, examples)
        return self._head(spec, rows, answers, fit_linear(rows.x, answers, settings["penalty"]))

    def _head(self, spec: Spec, rows: DenseRows, answers: Answers, fitted: Fitted) -> LinearHead:
        part, bias = rows.part(fitted, landmarks_of(spec, rows, answers))
        head = LinearHead(answers.link, bias, part)
        check_budget(head, spec, self.name)
        return head
