"""Promised against came true, with the histogram of what was promised under it."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.proof.charts.svg import WIDTH, Svg, element, line, linear, picture, text, title
from trunkline.proof.details import Bin

LEFT, RIGHT, TOP, HEIGHT, GAP, BARS = 52, 20, 10, 240, 8, 44
MARKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def calibration_chart(bins: Sequence[Bin], histogram: Sequence[int], alt: str, rows: str) -> Svg:
    """rows: the word beside the histogram."""
    x = linear((0, 1), (LEFT, WIDTH - RIGHT))
    y = linear((0, 1), (TOP + HEIGHT, TOP))
    floor = TOP + HEIGHT + GAP + BARS
    parts = [line(LEFT, y(m), WIDTH - RIGHT, y(m), "grid") for m in MARKS]
    parts += [text(LEFT - 6, y(m) + 4, f"{m:.0%}", "soft", "end") for m in MARKS]
    parts += [text(x(m), floor + 18, f"{m:.0%}", "soft", "middle") for m in MARKS]
    parts.append(line(x(0), y(0), x(1), y(1), "ref"))
    tallest, step = max((*histogram, 1)), 1 / max(1, len(histogram))
    for at, count in enumerate(histogram):
        height = BARS * count / tallest
        parts.append(
            element(
                "rect",
                title(f"{at * step:.0%}–{(at + 1) * step:.0%}: {count:,}"),
                x=x(at * step) + 0.5,
                y=floor - height,
                width=x(step) - x(0) - 1,
                height=height,
                class_="bar",
            )
        )
    parts.append(line(LEFT, floor, WIDTH - RIGHT, floor, "ln"))
    parts.append(text(LEFT - 6, floor - 2, rows, "soft", "end"))
    parts += [_point(b, x(b.confidence), [y(v or 0.0) for v in _ends(b)]) for b in bins]
    return picture(floor + 26, alt, parts)


def _ends(part: Bin) -> tuple[float | None, float | None, float | None]:
    return part.right.value, part.right.low, part.right.high


def _point(part: Bin, across: float, heights: Sequence[float]) -> Svg:
    value, low, high = heights
    return element(
        "g",
        title(f"{part.confidence:.1%} → {part.right.value or 0.0:.1%}, n = {part.right.n:,}"),
        line(across, low, across, high, "acc whisker"),
        element("circle", cx=across, cy=value, r=4.5, class_="acc"),
    )
