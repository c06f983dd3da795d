"""What a report says about reasons: those of chosen rows, what the product looks at overall, and whether it is true."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from trunkline.explain.faithful import DRAWS, Removal, removing
from trunkline.explain.parts import Kind
from trunkline.explain.subject import Subject
from trunkline.explain.why import MOST, Asked, Explanation, explaining, finding, told
from trunkline.explain.words import units_of
from trunkline.program import drive
from trunkline.types import Ask, Inputs, Refused, Steps

WORDS = 25_000  # that the perturbed rows of a survey may have together: some seconds on two cores
FEWEST, MOST_ROWS = 20, 200  # rows looked at, whatever their length
PICTURE = 150  # words that a picture counts as
MISTAKES = 6
TOGETHER = 32  # rows that are looked at at once; pictures one by one, since each of their perturbed ones takes a megabyte
AGAIN = 3  # rows that a word stands in at least, to be told of the whole product


@dataclass(frozen=True)
class Leaning:
    """What the product looks at. weight: mean over the rows that have it; of columns the mean size, for whatever label."""

    column: str
    kind: Kind
    name: str
    label: str
    weight: float
    rows: int


@dataclass(frozen=True)
class Survey:
    """Rows are named by their places among the test rows."""

    removed: Sequence[tuple[int, Removal]] = ()
    leanings: Sequence[Leaning] = ()
    explained: Mapping[int, Explanation] = field(default_factory=dict)


def survey(subject: Subject, rows: Sequence[Inputs], mistakes: Sequence[int], seed: int, ask: Ask) -> Survey:
    """rows: of the test part, of which a sample is looked at, as large as their length allows; mistakes: places among
    them that are explained in any case. A row on which the head breaks without a part is left out."""
    sample = chosen(subject, rows, seed)
    rng = np.random.default_rng([seed, 1])
    programs = [_looked_at(subject, rows[at], [rows[i] for i in rng.integers(len(rows), size=DRAWS)], at) for at in sample]
    step = 1 if "image" in subject.kinds.values() else TOGETHER
    ends = [end for start in range(0, len(programs), step) for end in drive(programs[start : start + step], ask)]
    known = [(at, end) for at, end in zip(sample, ends, strict=True) if not isinstance(end, Exception)]
    worst = list(mistakes)[:MISTAKES]
    ends_of_worst = drive([explaining(subject, rows[at], Asked(top=5)) for at in worst], ask)
    explained = {at: end[1] for at, end in zip(worst, ends_of_worst, strict=True) if not isinstance(end, Exception)}
    return Survey(
        [(at, removal) for at, (_, removal) in known if removal is not None],
        leanings([one for _, (one, _) in known if one is not None]),
        {at: one for at, one in explained.items() if isinstance(one, Explanation)},
    )


def chosen(subject: Subject, rows: Sequence[Inputs], seed: int) -> list[int]:
    """Places of the rows to look at: in a drawn order, until WORDS are spent."""
    order = np.random.default_rng(seed).permutation(len(rows))[:MOST_ROWS].tolist()
    spent = 0
    found: list[int] = []
    for at in order:
        size = sum(_size(kind, rows[at].get(column)) for column, kind in subject.kinds.items())
        spent += size * (min(26, size) + 3 * DRAWS)
        if spent > WORDS and len(found) >= FEWEST:
            break
        found.append(at)
    return found


def _size(kind: str, value: object) -> int:
    if kind == "text":
        return len(units_of(str(value or "")))
    return PICTURE if kind == "image" else 1


def _looked_at(
    subject: Subject, row: Inputs, others: Sequence[Inputs], seed: int
) -> Steps[tuple[Explanation | None, Removal | None]]:
    answer, found = yield from finding(subject, row, Asked())
    if isinstance(found, Refused) or answer.status != "ok":
        return None, None
    return told(found, MOST), (yield from removing(subject, found, others, seed))


def leanings(explained: Sequence[Explanation]) -> list[Leaning]:
    """The heaviest first: of columns all, of words those that stand in AGAIN rows or more."""
    weights: dict[tuple[str, Kind, str, str], list[float]] = defaultdict(list)
    for one in explained:
        for reason in one.reasons:
            if reason.kind == "column":
                weights[reason.column, "column", reason.column, ""].append(abs(reason.weight))
            elif reason.kind == "words" and " " not in reason.name:
                weights[reason.column, "words", reason.name.casefold(), one.of].append(reason.weight)
    found = [Leaning(*key, float(np.mean(each)), len(each)) for key, each in weights.items() if key[1] == "column" or len(each) >= AGAIN]
    return sorted(found, key=lambda one: -one.weight * one.rows)
