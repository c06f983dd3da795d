"""The primary metric on parts of the rows: does the product work for all of them?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import SpecError, nearest
from trunkline.proof.cells import shown
from trunkline.proof.details import Interval
from trunkline.proof.intervals import draw, interval
from trunkline.proof.report import Slice
from trunkline.proof.resample import Resample
from trunkline.types import Evidence, Metric

VALUES = 12  # most frequent values shown of a column; numbers with more are cut into quarters
FEWEST = 5  # rows in a slice


def slices(evidence: Evidence, metric: Metric) -> tuple[Slice, ...]:
    """One per column of spec.proof.slices and value. Raises SpecError for an unknown column."""
    test, overall = evidence.test, float(metric.of(evidence.test.target, evidence.prediction.values))
    out = []
    for column in evidence.spec.proof.slices:
        cells = test.columns.get(column)
        if cells is None:
            known = sorted(test.columns)
            raise SpecError(
                "a slice names an unknown column",
                where="proof.slices",
                found=repr(column),
                hint=nearest(column, known),
            )
        for value, inside in parts(cells):
            out.append(_slice(evidence, metric, column, value, inside, overall))
    return tuple(out)


def _slice(
    evidence: Evidence,
    metric: Metric,
    column: str,
    value: str,
    inside: NDArray[np.bool_],
    overall: float,
) -> Slice:
    part = evidence.test.take(inside)
    resample = Resample(len(part), part.groups, part.times, evidence.spec.seed)
    values = evidence.prediction.values[inside]
    found = interval(draw(metric, part.target, values, resample), resample)
    differs = math.isfinite(found.low) and not found.low <= overall <= found.high
    return Slice(column, value, Interval.of(found), differs)


def parts(cells: Sequence[Any]) -> list[tuple[str, NDArray[np.bool_]]]:
    """(value, mask) of the parts of a column: its most frequent values, or quarters of a number."""
    texts = np.array([shown(cell).strip() for cell in cells], dtype=object)
    values, counts = np.unique(texts.astype(str), return_counts=True)
    if len(values) > VALUES:
        numbers = _numbers(texts)
        if numbers is not None:
            return _quarters(numbers)
    frequent = np.argsort(-counts, kind="stable")[:VALUES]
    return [(str(values[i]) or "∅", texts == values[i]) for i in frequent if counts[i] >= FEWEST]


def _numbers(texts: NDArray[Any]) -> NDArray[np.float64] | None:
    try:
        return np.array([float(text) if text else math.nan for text in texts])
    except ValueError:  # a column of words
        return None


def _quarters(numbers: NDArray[np.float64]) -> list[tuple[str, NDArray[np.bool_]]]:
    known = numbers[np.isfinite(numbers)]
    edges = np.unique(np.quantile(known, [0.25, 0.5, 0.75]))
    at = np.searchsorted(edges, numbers, side="right")
    at[~np.isfinite(numbers)] = -1
    out = []
    for number in range(len(edges) + 1):
        inside = at == number
        if inside.sum() >= FEWEST:
            low, high = numbers[inside].min(), numbers[inside].max()
            out.append((f"{low:.4g} – {high:.4g}", inside))
    return out
