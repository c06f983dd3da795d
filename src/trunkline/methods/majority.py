"""The method `majority`: the shares of the classes (or the median) for every row; the answer to beat."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trunkline.heads.constant import ConstantHead
from trunkline.heads.no_spans import NoSpansHead
from trunkline.methods.settings import NoSettings, read_settings
from trunkline.methods.table_target import Answers, answers_of
from trunkline.spec import Spec
from trunkline.types import Ask, Candidate, Examples, Folds, Prediction, Refused


class Majority:
    """Reads no input."""

    name: ClassVar[str] = "majority"

    def check(self, spec: Spec) -> None:
        read_settings(spec, self.name, NoSettings)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        return None

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        if examples.target.dtype == object:  # of spans the naive answer is none
            return Candidate(NoSpansHead(), NoSpansHead.prediction(len(examples)), {})
        answers = answers_of(spec, examples)
        whole = _constant(answers, len(examples.labels))
        values = np.empty((len(examples), *whole.shape))
        for fold in np.unique(folds):
            held = folds == fold
            values[held] = _constant(answers.take(np.flatnonzero(~held)), len(examples.labels))
        return Candidate(ConstantHead(whole), Prediction(values), {})


def _constant(answers: Answers, labels: int) -> NDArray[np.float64]:
    """Smoothed shares (labels,), shares of each label (labels,), or the median ()."""
    values = answers.values
    if answers.link == "identity":
        return np.asarray(np.median(values) if len(values) else 0.0)
    if answers.link == "labels":
        return np.asarray((values.sum(axis=0) + 0.5) / (len(values) + 1.0))
    counts = np.bincount(values, minlength=labels) + 0.5
    return np.asarray(counts / counts.sum())
