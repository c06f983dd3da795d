"""Likely wrong labels, by confident learning (Northcutt, Jiang, Chuang, JAIR 2021).

Used after training, on out-of-fold probabilities: a model that saw a wrong label would defend it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trunkline.data.checks.view import MOST_ROWS, View, percent
from trunkline.data.loaded import Loaded
from trunkline.spec import Spec
from trunkline.types import DataReport, Finding, Floats


class Suspect(NamedTuple):
    """A row whose label is probably wrong. margin: how much likelier the other label is, 0..1."""

    at: int  # index into target
    given: str
    likely: str
    margin: float


def wrong_labels(target: NDArray[np.int64], probabilities: Floats, labels: Sequence[str]) -> list[Suspect]:
    """Suspects, surest first, from out-of-fold probabilities (n, classes).

    A class's threshold is the mean probability that its own rows give it; a row is counted for the
    likeliest class whose threshold it reaches, and is suspect where that is not its label.
    """
    n, k = probabilities.shape
    own = probabilities[np.arange(n), target]
    sums, counts = np.bincount(target, weights=own, minlength=k), np.bincount(target, minlength=k)
    threshold = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    reached = np.where(probabilities >= threshold - 1e-9, probabilities, -1.0)  # a mean of equals may lie above them
    likely = reached.argmax(axis=1)
    margin = probabilities[np.arange(n), likely] - own
    suspect = np.flatnonzero((reached.max(axis=1) >= 0) & (likely != target) & (margin > 0))
    order = suspect[np.argsort(-margin[suspect], kind="stable")]
    return [Suspect(int(i), labels[target[i]], labels[likely[i]], float(margin[i])) for i in order]


def with_wrong_labels(spec: Spec, loaded: Loaded, report: DataReport, probabilities: Floats) -> DataReport:
    """The report with a finding of likely wrong labels, if there are any.

    `probabilities` (n, classes) are out-of-fold, of loaded.train's rows. Numbers and sets of labels
    as targets leave the report as it is.
    """
    train = loaded.train
    if train.target.ndim != 1 or train.target.dtype.kind != "i" or not train.labels:
        return report
    suspects = wrong_labels(train.target, probabilities, train.labels)
    if not suspects:
        return report
    return replace(report, findings=[*report.findings, _finding(View(spec, loaded), suspects)])


def _finding(view: View, suspects: Sequence[Suspect]) -> Finding:
    share = len(suspects) / view.n_train
    rows = [
        view.example(s.at, f"{s.given!r} is given, {s.likely!r} is likelier by {s.margin:.2f}")
        for s in suspects[:MOST_ROWS]
    ]
    return Finding(
        check="wrong_labels",
        severity="warn" if share > 0.02 else "info",
        score=share,
        count=len(suspects),
        message=f"{len(suspects):,} training labels ({percent(share)}) are likely wrong: rows not used "
        "for learning speak for another label",
        message_zh=f"{len(suspects):,} 个训练标签（{percent(share)}）可能有误：未参与学习的预测支持另一个标签",
        rows=rows,
        fix="look at these rows first; correcting labels often pays more than new rows",
    )
