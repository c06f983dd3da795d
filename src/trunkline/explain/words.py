"""A text cut into the units that an explanation speaks of: words, and short groups of Chinese signs.

No dictionary is at hand where answers are served, so a Chinese run is cut at its commonest one-sign words, and what lies
between goes in pairs, as most Chinese words have two signs (three where one is left over).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SMALL = "的了是在我你他她它们这那有也很都就还和与及或但而吗呢吧啊被把让给对从向太最更又再"
_BEFORE = "不没未无别"  # belongs to what follows it
_CJK = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_UNIT = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+(?:['’\-.,_@][^\W_{_CJK}]+)*|[^\w\s!-/:-@\[-`{{-~\u2000-\u206f\u3000-\u303f\uff00-\uffef]")
_RUN = re.compile(rf"[{_CJK}]")
_WORD = re.compile(rf"[{_SMALL}]|[^{_SMALL}]+")

Unit = tuple[int, int]  # characters [start, end)


def units_of(text: str) -> list[Unit]:
    """Words, numbers, groups of Chinese signs and symbols, in order. What lies between (spaces, marks) is of none."""
    found: list[Unit] = []
    for match in _UNIT.finditer(text):
        if _RUN.match(match[0]):
            found += ((match.start() + a, match.start() + b) for a, b in _chinese(match[0]))
        else:
            found.append(match.span())
    return found


def _chinese(run: str) -> Iterator[Unit]:
    for part in _WORD.finditer(run):
        at, end = part.span()
        while at < end:
            size = 2 + (run[at] in _BEFORE and at + 3 == end)
            stop = end if end - at <= 3 else at + size
            yield at, stop
            at = stop


def cells_of(text: str, units: list[Unit]) -> list[Unit]:
    """The whole text shared out among its units: each has what follows it, the first also what precedes it."""
    starts = [0, *(start for start, _ in units[1:])]
    return list(zip(starts, [*starts[1:], len(text)], strict=True)) if units else []
