"""One row a name: a point with its whisker, on a shared axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trunkline.proof.charts.svg import (
    WIDTH,
    Svg,
    element,
    fit,
    known,
    line,
    linear,
    picture,
    room,
    text,
    ticks,
    title,
)

ROW, TOP, RIGHT = 24, 8, 62
COLUMNS = 19  # of a label's text


@dataclass(frozen=True)
class Dot:
    name: str
    value: float | None
    low: float | None
    high: float | None
    shown: str  # the value as written beside the point
    accent: bool = False


def dot_chart(
    dots: Sequence[Dot], alt: str, tick: Callable[[float], str], reference: float | None = None
) -> Svg:
    """reference draws a line: 0 for gains, the whole for slices."""
    numbers = known([x for dot in dots for x in (dot.low, dot.high, dot.value)] + [reference])
    marks = ticks(min(numbers, default=0.0), max(numbers, default=1.0), 4)
    label = room((dot.name for dot in dots), COLUMNS)
    x = linear((marks[0], marks[-1]), (label + 8, WIDTH - RIGHT))
    bottom = TOP + ROW * len(dots)
    parts = []
    for mark in marks:
        parts.append(line(x(mark), TOP, x(mark), bottom, "grid"))
        parts.append(text(x(mark), bottom + 18, tick(mark), "soft", "middle"))
    if reference is not None:
        parts.append(line(x(reference), TOP - 4, x(reference), bottom, "ref"))
    for at, dot in enumerate(dots):
        parts.append(_row(dot, label, TOP + ROW * at + ROW / 2, x))
    return picture(bottom + 26, alt, parts)


def _row(dot: Dot, label: float, y: float, x: Callable[[float], float]) -> Svg:
    name = fit(dot.name, COLUMNS)
    parts = [title(f"{dot.name}: {dot.shown}"), text(label, y + 4, name, "ink", "end")]
    colour = "acc" if dot.accent else "ctx"
    if dot.low is not None and dot.high is not None:
        parts.append(line(x(dot.low), y, x(dot.high), y, f"{colour} whisker"))
    if dot.value is not None:
        parts.append(element("circle", cx=x(dot.value), cy=y, r=4.5, class_=colour))
    parts.append(text(WIDTH - 2, y + 4, dot.shown, "num", "end"))
    return element("g", *parts)
