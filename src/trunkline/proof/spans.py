"""The report's part for spans of a text."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from trunkline.metrics.spans import Spans, counts, exact_rows
from trunkline.metrics.weighting import Figure, Weights, answer, given, ratio
from trunkline.proof.cells import shown
from trunkline.proof.classes import Units, calibration, histogram
from trunkline.proof.classify import MISTAKES
from trunkline.proof.details import ClassRow, Interval, SpansDetail
from trunkline.proof.explained import Mistake
from trunkline.proof.intervals import estimate
from trunkline.types import Evidence, Metric, Span

PARTS = {"precision": (1, 1, 0), "recall": (1, 0, 1), "f1": (2, 1, 1)}  # times: right; below it said, true


def right_rows(evidence: Evidence) -> NDArray[np.float64]:
    """(n,) 1 where exactly the true spans were found."""
    return exact_rows(evidence.test.target, evidence.prediction.values)


def detail(evidence: Evidence, units: Units) -> SpansDetail:
    scores, right, rows = _said(evidence)
    places = np.arange(len(evidence.test)) if units is None else units
    return SpansDetail(
        classes=tuple(_row(evidence, label, units) for label in range(len(evidence.test.labels))),
        bins=calibration(scores, right, places[rows]),
        histogram=histogram(scores),
    )


def _said(evidence: Evidence) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Of every span that was said: its score, whether it is right, and its row."""
    pairs = zip(evidence.test.target, evidence.prediction.values, strict=True)
    every = [(span.score, any(span[:3] == one[:3] for one in true), row) for row, (true, said) in enumerate(pairs) for span in said]
    scores, right, rows = zip(*every, strict=True) if every else ((), (), ())
    return np.array(scores, np.float64), np.array(right, bool), np.array(rows, np.int64)


def _row(evidence: Evidence, label: int, units: Units) -> ClassRow:
    test, values = evidence.test, evidence.prediction.values
    _, said, true = counts(test.target, values, label)
    groups = None if units is None else units.tolist()
    figures = [
        Interval.of(estimate(_metric(name, label), test.target, values, groups=groups, seed=evidence.spec.seed))
        for name in PARTS
    ]
    return ClassRow(test.labels[label], int(true.sum()), int(said.sum()), *figures)


def _metric(name: str, label: int) -> Metric:
    of = partial(_share, name=name, label=label)
    return Metric(name, True, of, None, "%", lambda target, values, weights: of(target, values, weights=weights))


def _share(target: Spans, values: Spans, name: str, label: int, weights: Weights = None) -> Figure:
    right, said, true = counts(target, values, label)
    times, by_said, by_true = PARTS[name]
    w = given(weights, len(right))
    return answer(ratio(w @ (times * right), w @ (by_said * said + by_true * true)), weights)


def mistakes(evidence: Evidence) -> tuple[Mistake, ...]:
    """Rows with the most spans missed or wrongly said, the worst first."""
    test, values = evidence.test, evidence.prediction.values
    right, said, true = counts(test.target, values)
    wrong = said + true - 2 * right
    worst = [i for i in np.argsort(-wrong, kind="stable")[:MISTAKES].tolist() if wrong[i]]
    return tuple(
        Mistake(
            row=int(test.rows[i]),
            inputs={name: shown(cell) for name, cell in test.inputs[i].items()},
            truth=_words(test.target[i], values[i], test.labels),
            answer=_words(values[i], test.target[i], test.labels),
            probability=None,
            size=float(wrong[i]),
        )
        for i in worst
    )


def _words(spans: tuple[Span, ...], others: tuple[Span, ...], labels: tuple[str, ...]) -> str:
    """The spans that the other side lacks."""
    known = {span[:3] for span in others}
    return ", ".join(f"{span.text} [{labels[span.label]}]" for span in spans if span[:3] not in known) or "∅"
