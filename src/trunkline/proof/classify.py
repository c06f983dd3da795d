"""The report's part for one label a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.metrics import confusion, cost_matrix, decide
from trunkline.metrics.weighting import Ints
from trunkline.proof.cells import shown
from trunkline.proof.classes import Units, calibration, class_rows, histogram
from trunkline.proof.details import ClassifyDetail, Pair
from trunkline.proof.explained import Mistake
from trunkline.types import Evidence

MATRIX_CLASSES = 30
PAIRS = 20
MISTAKES = 20


def said_labels(evidence: Evidence) -> Ints:
    """(n,) label index of each answer; where none was given (abstained), the one that would have been."""
    labels = evidence.test.labels
    costs = evidence.spec.proof.costs
    said = decide(evidence.prediction.values, cost_matrix(labels, costs) if costs else None)
    place = {label: i for i, label in enumerate(labels)}
    for at, answer in enumerate(evidence.answers):
        said[at] = place.get(answer.fields.get("label", ""), said[at])
    return said


def right_rows(evidence: Evidence) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(n,) 1 where the answer is right."""
    hits: np.ndarray[tuple[int], np.dtype[np.float64]] = (
        said_labels(evidence) == evidence.test.target
    ).astype(np.float64)
    return hits


def detail(evidence: Evidence, units: Units) -> ClassifyDetail:
    labels, target, values = evidence.test.labels, evidence.test.target, evidence.prediction.values
    said, names = said_labels(evidence), np.arange(len(labels))
    cells = confusion(target, said, len(labels))
    order = similar_order(cells)
    matrix = None
    if len(labels) <= MATRIX_CLASSES:
        matrix = tuple(tuple(int(x) for x in row) for row in cells[np.ix_(order, order)])
    top = np.nan_to_num(values).max(axis=1)
    return ClassifyDetail(
        classes=class_rows(target[:, None] == names, said[:, None] == names, labels, units),
        order=tuple(labels[i] for i in order),
        confusion=matrix,
        pairs=_pairs(cells, labels),
        bins=calibration(top, values.argmax(axis=1) == target, units),
        histogram=histogram(top),
    )


def similar_order(cells: Ints) -> Ints:
    """Labels so that those which take each other's rows stand together: greedily, each next label
    is the one most confused with the last two placed; ties in label order."""
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    near = shares + shares.T
    np.fill_diagonal(near, 0.0)
    left = list(range(len(cells)))
    if not left:
        return np.array([], np.int64)
    order = [left.pop(int(np.argmax(near.max(axis=1))))]
    while left:
        pull = near[order[-1], left] + (0.5 * near[order[-2], left] if len(order) > 1 else 0.0)
        order.append(left.pop(int(np.argmax(pull))))
    return np.array(order, np.int64)


def _pairs(cells: Ints, labels: Sequence[str]) -> tuple[Pair, ...]:
    wrong = cells.copy()
    np.fill_diagonal(wrong, 0)
    at = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    support = cells.sum(axis=1)
    places = [divmod(int(i), len(labels)) for i in at]
    return tuple(
        Pair(labels[i], labels[j], int(wrong[i, j]), int(support[i])) for i, j in places if wrong[i, j]
    )


def mistakes(evidence: Evidence) -> tuple[Mistake, ...]:
    """Wrong answers, the surest first."""
    test, values, said = evidence.test, np.nan_to_num(evidence.prediction.values), said_labels(evidence)
    sure = values[np.arange(len(test)), said]
    wrong = np.flatnonzero(said != test.target)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES]
    return tuple(
        Mistake(
            row=int(test.rows[i]),
            inputs={name: shown(cell) for name, cell in test.inputs[i].items()},
            truth=test.labels[test.target[i]],
            answer=test.labels[said[i]],
            probability=float(sure[i]),
            size=float(sure[i]),
        )
        for i in worst
    )
