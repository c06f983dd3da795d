"""What a report says of labels, shared by classify and multilabel: figures per label, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.metrics import equal_mass_bins
from trunkline.proof.details import Bin, ClassRow, Interval
from trunkline.proof.proportion import proportion
from trunkline.types import Estimate

BINS = 10
STEPS = 20  # of the histogram of confidence
Bools = NDArray[np.bool_]
Units = NDArray[np.int64] | None


def class_rows(true: Bools, said: Bools, labels: Sequence[str], units: Units) -> tuple[ClassRow, ...]:
    """Figures of each label from true and said, both (n, L)."""
    return tuple(_class_row(label, true[:, c], said[:, c], units) for c, label in enumerate(labels))


def _class_row(label: str, true: Bools, said: Bools, units: Units) -> ClassRow:
    """Recall over its rows, precision over its answers; F1 by the share J of hits among the rows
    where it is true or said, a proportion, since F1 = 2J / (1 + J) only stretches it."""
    jaccard = _among(true & said, true | said, units)
    value, low, high = (2 * j / (1 + j) for j in (jaccard.value, jaccard.low, jaccard.high))
    f1 = Estimate(value, low, high, jaccard.n)
    return ClassRow(
        label,
        int(true.sum()),
        int(said.sum()),
        Interval.of(_among(true & said, said, units)),
        Interval.of(_among(true & said, true, units)),
        Interval.of(f1),
    )


def _among(hits: Bools, rows: Bools, units: Units) -> Estimate:
    return proportion(hits[rows].astype(np.float64), None if units is None else units[rows])


def calibration(
    confidence: NDArray[Any], right: NDArray[Any], units: Units, bins: int = BINS
) -> tuple[Bin, ...]:
    """Equal-mass bins of confidence (n,) against right (n,), lowest first; fewer bins for few rows."""
    known = np.isfinite(confidence)
    confidence, right = confidence[known].astype(np.float64), right[known].astype(np.float64)
    units = None if units is None else units[known]
    if not len(confidence):
        return ()
    at = equal_mass_bins(confidence, max(1, min(bins, len(confidence) // 10)))
    out = []
    for number in np.unique(at):
        inside = at == number
        share = proportion(right[inside], None if units is None else units[inside])
        low, high = float(confidence[inside].min()), float(confidence[inside].max())
        out.append(Bin(low, high, float(confidence[inside].mean()), Interval.of(share)))
    return tuple(out)


def histogram(confidence: NDArray[Any]) -> tuple[int, ...]:
    """Rows by confidence, in equal steps from 0 to 1."""
    known = np.clip(confidence[np.isfinite(confidence)], 0.0, 1.0)
    return tuple(int(n) for n in np.histogram(known, STEPS, (0.0, 1.0))[0])
