"""Leave one part out, and see how far the answer's figure falls (Zeiler & Fergus 2014; Li, Monroe & Jurafsky 2016)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.explain.parts import Part, Parts
from trunkline.explain.subject import Subject, Target
from trunkline.types import Inputs, Prediction, Steps

ROUNDS = 3  # of cutting finer, at most
LEAST = 4  # rows of a round
KEPT = 0.5  # of a part's weight, that its pieces must have together to take its place


@dataclass(frozen=True)
class Weighed:
    """weight: how far the figure falls without the part. without: the label's probability, or the figure, then."""

    part: Part
    weight: float
    without: float | None = None


def first_rows(parts: Parts, most: int) -> tuple[list[Part], list[Inputs]]:
    """(parts, the row followed by the row without each of them): what is asked first, all at once."""
    first = parts.first(most)
    return first, [parts.row, *(parts.without([part]) for part in first)]


def finer(
    subject: Subject, parts: Parts, target: Target, first: Sequence[Part], finished: Prediction, most: int
) -> Steps[tuple[list[Weighed], int]]:
    """(the parts' weights, rows that were asked): `finished` is of `first_rows`; the heaviest parts are cut finer
    while fewer than `most` rows were asked, so that a long text costs no more than a short one."""
    open_ = _weighed(target, first, finished)
    settled: list[Weighed] = []
    spent = len(first)
    for _ in range(ROUNDS):
        chosen: list[tuple[Weighed, list[Part]]] = []
        room = min(max(LEAST, (most - spent) // 2), most - spent)
        for one in sorted(open_, key=lambda one: -abs(one.weight)):
            cut = parts.finer(one.part)
            if cut and len(cut) <= room:
                chosen.append((one, cut))
                room -= len(cut)
        if not chosen:
            break
        pieces = [piece for _, cut in chosen for piece in cut]
        rows = [parts.row, *(parts.without([piece]) for piece in pieces)]
        more = _weighed(target, pieces, (yield from subject.run(rows)))
        spent += len(pieces)
        open_ = [one for one in open_ if all(one is not whole for whole, _ in chosen)]
        for whole, cut in chosen:
            own = [piece for piece in more if piece.part in cut]
            if abs(sum(piece.weight for piece in own)) < KEPT * abs(whole.weight):
                settled.append(whole)  # only together do its pieces matter
            else:
                open_ += own
    return settled + open_, spent


def _weighed(target: Target, parts: Sequence[Part], finished: Prediction) -> list[Weighed]:
    """finished: of the row, then of the row without each part. A part without which the head gives no number has no
    weight that could be told, and is left out."""
    figures = target.figures(finished)
    told = target.probabilities(finished) if target.unit == "log_odds" else figures
    falls = (figures[0] - figures[1:]).tolist()
    return [Weighed(*one) for one in zip(parts, falls, told[1:].tolist(), strict=True) if math.isfinite(one[1])]
