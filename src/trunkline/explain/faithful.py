"""Are the reasons the real ones? Without its heaviest parts an answer must fall further than without as many at random.

The removal test of DeYoung et al. 2020 (ERASER's comprehensiveness) beside its chance level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trunkline.explain.parts import Part
from trunkline.explain.subject import Subject
from trunkline.explain.why import Found
from trunkline.types import Inputs, Prediction, Steps

TOP = 3  # parts that are removed
DRAWS = 5  # of as many at random, whose mean is taken


@dataclass(frozen=True)
class Removal:
    """How far a row's answer fell (the label's probability, or the number's distance from what it was) without its
    heaviest parts, and without as many at random. parts: of the row, as single words."""

    top: float
    random: float
    parts: int


def removing(subject: Subject, found: Found, others: Sequence[Inputs], seed: int) -> Steps[Removal | None]:
    """None for a row of no more than TOP parts. others: DRAWS rows whose cells take the place of removed table columns,
    by which nothing is left that only this row could have."""
    every = [one for weighed in found.weighed for one in found.parts.single(weighed.part)]
    if len(every) <= TOP:
        return None
    sign = -1.0 if found.target.unit == "value" and found.target.figures(found.finished)[0] < 0 else 1.0
    heaviest = sorted(found.weighed, key=lambda one: -sign * one.weight)[:TOP]
    gone = [one for weighed in heaviest for one in found.parts.single(weighed.part)]
    sets = [[gone] * DRAWS, _drawn(every, len(gone), np.random.default_rng(seed))]
    rows = [found.parts.without(part, other) for draws in sets for part, other in zip(draws, others, strict=True)]
    top, chance = _falls(found, (yield from subject.run(rows))).reshape(len(sets), DRAWS).mean(axis=1).tolist()
    return Removal(top, chance, len(every))


def _drawn(parts: Sequence[Part], size: int, rng: np.random.Generator) -> list[list[Part]]:
    return [[parts[i] for i in rng.permutation(len(parts))[:size].tolist()] for _ in range(DRAWS)]


def _falls(found: Found, finished: Prediction) -> NDArray[np.float64]:
    target = found.target
    if target.unit == "value":
        return np.asarray(np.abs(target.figures(found.finished)[0] - target.figures(finished)))
    return np.asarray(target.probabilities(found.finished)[0] - target.probabilities(finished))
