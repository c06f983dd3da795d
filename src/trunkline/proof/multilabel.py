"""The report's part for any number of labels a row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.proof.cells import shown
from trunkline.proof.classes import Bools, Units, calibration, class_rows, histogram
from trunkline.proof.classify import MISTAKES
from trunkline.proof.details import MultilabelDetail
from trunkline.proof.explained import Mistake
from trunkline.types import Evidence

GIVEN_FROM = 0.5  # finished values stand so that a label is given from here on


def said_labels(evidence: Evidence) -> Bools:
    """(n, L) labels given; where none was (out of scope), those that would have been."""
    said = np.asarray(evidence.prediction.values >= GIVEN_FROM)
    place = {label: i for i, label in enumerate(evidence.test.labels)}
    for at, answer in enumerate(evidence.answers):
        if answer.status == "ok" and "labels" in answer.fields:
            said[at] = False
            said[at, [place[label] for label in answer.fields["labels"]]] = True
    return said


def right_rows(evidence: Evidence) -> NDArray[np.float64]:
    """(n,) 1 where exactly the true labels were given."""
    return np.asarray((said_labels(evidence) == evidence.test.target).all(axis=1), np.float64)


def detail(evidence: Evidence, units: Units) -> MultilabelDetail:
    """Without calibration where labels have thresholds: finished values then stand to their
    threshold, and promise no probability."""
    target, values, said = evidence.test.target, evidence.prediction.values, said_labels(evidence)
    rows = np.arange(len(target)) if units is None else units
    promised = values.ravel() if not evidence.decision.thresholds else np.zeros(0)
    right = target.ravel()[: len(promised)]
    return MultilabelDetail(
        classes=class_rows(target, said, evidence.test.labels, units),
        true_per_row=float(target.sum(axis=1).mean()) if len(target) else 0.0,
        said_per_row=float(said.sum(axis=1).mean()) if len(target) else 0.0,
        bins=calibration(promised, right, np.repeat(rows, values.shape[1])[: len(promised)]),
        histogram=histogram(promised),
    )


def mistakes(evidence: Evidence) -> tuple[Mistake, ...]:
    """Rows with a wrong set of labels, the surest wrong label first."""
    test, said, values = evidence.test, said_labels(evidence), np.nan_to_num(evidence.prediction.values)
    wrong = said != test.target
    sure: NDArray[Any] = np.where(wrong, np.where(said, values, 1 - values), 0.0).max(axis=1)
    rows = np.flatnonzero(wrong.any(axis=1))
    worst = rows[np.argsort(-sure[rows], kind="stable")][:MISTAKES]

    def names(row: Bools) -> str:
        return ", ".join(label for label, on in zip(test.labels, row, strict=True) if on) or "∅"

    return tuple(
        Mistake(
            row=int(test.rows[i]),
            inputs={name: shown(cell) for name, cell in test.inputs[i].items()},
            truth=names(test.target[i]),
            answer=names(said[i]),
            probability=float(sure[i]),
            size=float(sure[i]),
        )
        for i in worst
    )
