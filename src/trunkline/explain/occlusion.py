"""Leave one part out, and see how far the answer's figure falls (Zeiler & Fergus 2014; Li, Monroe & Jurafsky 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.explain.parts import Part, Parts
from trunkline.explain.subject import Subject, Target
from trunkline.types import Inputs, Prediction, Steps

ROUNDS = 3  # of cutting finer, at most
LEAST = 4  # rows of a round


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
    found = _weighed(target, first, finished)
    spent = len(first)
    for _ in range(ROUNDS):
        chosen: list[Weighed] = []
        pieces: list[Part] = []
        room = max(LEAST, (most - spent) // 2)
        for one in sorted(found, key=lambda one: -abs(one.weight)):
            cut = parts.finer(one.part)
            if cut and len(pieces) + len(cut) <= min(room, most - spent):
                chosen.append(one)
                pieces += cut
        if not pieces:
            break
        rows = [parts.row, *(parts.without([piece]) for piece in pieces)]
        more = _weighed(target, pieces, (yield from subject.run(rows)))
        spent += len(pieces)
        found = [one for one in found if one not in chosen] + more
    return found, spent


def _weighed(target: Target, parts: Sequence[Part], finished: Prediction) -> list[Weighed]:
    """finished: of the row, then of the row without each part."""
    figures = target.figures(finished)
    told = target.probabilities(finished) if target.unit == "log_odds" else figures
    falls = (figures[0] - figures[1:]).tolist()
    return [Weighed(*one) for one in zip(parts, falls, told[1:].tolist(), strict=True)]
