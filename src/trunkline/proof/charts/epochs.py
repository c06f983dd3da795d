"""How a network learned: its loss by epoch, that of its validation part dashed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from trunkline.proof.charts.svg import WIDTH, Svg, element, line, linear, picture, text, ticks

LEFT, RIGHT, TOP, HEIGHT = 52, 28, 12, 180


def epochs_chart(epochs: Sequence[tuple[int, float, float | None]], alt: str, tick: Callable[[float], str]) -> Svg:
    """epochs: (number, loss, validation loss); losses that are no number are left out."""
    losses = [loss for _, *pair in epochs for loss in pair if loss is not None and math.isfinite(loss)]
    marks = ticks(min(losses), max(losses), 4)
    y = linear((marks[0], marks[-1]), (TOP + HEIGHT, TOP))
    first, last = epochs[0][0], epochs[-1][0]
    x = linear((first, last), (LEFT + 14.0, WIDTH - RIGHT - 6.0))
    parts = [line(LEFT, y(mark), WIDTH - RIGHT, y(mark), "grid") for mark in marks]
    parts += [text(LEFT - 6, y(mark) + 4, tick(mark), "soft", "end") for mark in marks]
    parts += [text(x(end), TOP + HEIGHT + 20, str(end), "soft", "middle") for end in (first, last)]
    for at, dashed in ((1, ""), (2, " dashed")):
        known = [(epoch[0], loss) for epoch in epochs if (loss := epoch[at]) is not None and math.isfinite(loss)]
        path = " ".join(f"{x(number):.1f},{y(loss):.1f}" for number, loss in known)
        parts.append(element("polyline", points=path, class_=f"acc path{dashed}"))
    return picture(TOP + HEIGHT + 26, alt, parts)
