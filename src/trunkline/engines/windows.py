"""A text longer than its model reads: windows that overlap, so that no token is lost."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

OVERLAP = 4  # a window shares a fourth of itself with the next


@dataclass(frozen=True)
class Pieces:
    """A text's tokens without marks: ids, and the characters [starts, ends) of the text as it was given
    that each stands for; equal where it stands for none."""

    ids: list[int]
    starts: list[int]
    ends: list[int]


class Window(NamedTuple):
    """Tokens [start, stop) go through the model together; the states of [keep, keep_stop) are taken from it."""

    start: int
    stop: int
    keep: int
    keep_stop: int


def windows(count: int, room: int) -> list[Window]:
    """Windows of at most `room` of `count` tokens. Every token is kept once, from the window in which it has most
    neighbours on its scarcer side. The last window is as full as the others."""
    if count <= room:
        return [Window(0, count, 0, count)] if count else []
    step = max(1, room - room // OVERLAP)
    starts = [*range(0, count - room, step), count - room]
    edges = [0, *((before + room + after) // 2 for before, after in pairwise(starts)), count]
    return [Window(s, s + room, a, b) for s, (a, b) in zip(starts, pairwise(edges), strict=True)]
