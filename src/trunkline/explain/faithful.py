"""Are the reasons the real ones? Without its heaviest parts an answer must fall further than without as many at random.

The removal test of DeYoung et al. 2020 (ERASER's comprehensiveness) beside its chance level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trunkline.explain.parts import Part, Parts
from trunkline.explain.subject import Subject
from trunkline.explain.why import Asked, Found, finding
from trunkline.types import Inputs, Prediction, Refused, Steps

TOP = 3  # parts that are removed
DRAWS = 5  # of as many at random, whose mean is taken


@dataclass(frozen=True)
class Removal:
    """How far a row's answer fell without its heaviest parts, and without as many at random: the label's probability, or
    the number's distance from what it was. parts: that the row has, as single words."""

    top: float
    random: float
    parts: int


def removing(subject: Subject, row: Inputs, others: Sequence[Inputs], seed: int, asked: Asked) -> Steps[Removal | None]:
    """None for a row that isn't answered, has no explanation, or no more than TOP parts. others: DRAWS rows whose cells
    take the place of removed table columns, by which nothing is left that only this row could have."""
    answer, found = yield from finding(subject, row, asked)
    if answer.status != "ok" or isinstance(found, Refused):
        return None
    every = [one for weighed in found.weighed for one in found.parts.single(weighed.part)]
    if len(every) <= TOP:
        return None
    sign = -1.0 if found.target.unit == "value" and found.target.figures(found.finished)[0] < 0 else 1.0
    heaviest = sorted(found.weighed, key=lambda one: -sign * one.weight)[:TOP]
    gone = [one for weighed in heaviest for one in found.parts.single(weighed.part)]
    rng = np.random.default_rng(seed)
    draws = [[every[i] for i in rng.permutation(len(every))[: len(gone)]] for _ in range(DRAWS)]
    rows = _rows(found.parts, gone, draws, others)
    falls = _falls(found, (yield from subject.run(rows)))
    half = len(rows) // 2
    return Removal(float(falls[:half].mean()), float(falls[half:].mean()), len(every))


def _rows(parts: Parts, gone: Sequence[Part], draws: Sequence[Sequence[Part]], others: Sequence[Inputs]) -> list[Inputs]:
    """DRAWS rows without the heaviest (equal ones but for removed cells), DRAWS without others."""
    return [parts.without(gone, other) for other in others] + [parts.without(draw, other) for draw, other in zip(draws, others, strict=True)]


def _falls(found: Found, finished: Prediction) -> NDArray[np.float64]:
    target = found.target
    if target.unit == "value":
        return np.asarray(np.abs(target.figures(found.finished)[0] - target.figures(finished)))
    return np.asarray(target.probabilities(found.finished)[0] - target.probabilities(finished))
