"""The learning curve: measured points with whiskers, the forecast dashed with its band."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from trunkline.proof.charts.svg import WIDTH, Svg, element, line, linear, picture, text, ticks, title
from trunkline.proof.report import Point

LEFT, RIGHT, TOP, HEIGHT = 52, 28, 12, 220
LOGARITHMIC = 8  # spread of sizes from which the axis counts doublings


def curve_chart(points: Sequence[Point], factor: float, alt: str, tick: Callable[[float], str]) -> Svg:
    """factor: 100 where the figure is shown as percent."""
    drawn = [p for p in points if None not in (p.value.value, p.value.low, p.value.high)]
    measured = sorted((p for p in drawn if not p.extrapolated), key=lambda p: p.rows)
    ahead = [p for p in drawn if p.extrapolated]
    numbers = [factor * (x or 0.0) for p in drawn for x in (p.value.low, p.value.high)]
    marks = ticks(min(numbers), max(numbers), 5)
    y = linear((marks[0], marks[-1]), (TOP + HEIGHT, TOP))
    x = _across([p.rows for p in drawn])
    parts = [line(LEFT, y(m), WIDTH - RIGHT, y(m), "grid") for m in marks]
    parts += [text(LEFT - 6, y(m) + 4, tick(m), "soft", "end") for m in marks]
    parts += _rows([p.rows for p in (*measured, *ahead)], x)
    if measured and ahead:
        parts += _forecast(measured[-1], ahead, x, y, factor)
    path = " ".join(f"{x(p.rows):.1f},{y(factor * (p.value.value or 0.0)):.1f}" for p in measured)
    parts.append(element("polyline", points=path, class_="acc path"))
    parts += [_point(p, x, y, factor, tick) for p in drawn]
    return picture(TOP + HEIGHT + 26, alt, parts)


def _across(rows: Sequence[int]) -> Callable[[float], float]:
    low, high = min(rows), max(rows)
    span = (LEFT + 14.0, WIDTH - RIGHT - 6.0)
    if high / max(low, 1) < LOGARITHMIC:
        return linear((low, high), span)
    scale = linear((math.log(low), math.log(high)), span)
    return lambda value: scale(math.log(value))


def _rows(rows: Sequence[int], x: Callable[[float], float]) -> list[Svg]:
    """Sizes under the axis, those that would touch the one to their right left out."""
    parts: list[Svg] = []
    edge = float("inf")
    for count in sorted(set(rows), reverse=True):
        label = f"{count:,}"
        if x(count) + 4 * len(label) < edge:
            parts.append(text(x(count), TOP + HEIGHT + 20, label, "soft", "middle"))
            edge = x(count) - 4 * len(label) - 6
    return parts


def _forecast(
    last: Point,
    ahead: Sequence[Point],
    x: Callable[[float], float],
    y: Callable[[float], float],
    factor: float,
) -> list[Svg]:
    def at(point: Point, end: float | None) -> str:
        return f"{x(point.rows):.1f},{y(factor * (end or 0.0)):.1f}"

    value = last.value.value
    highs = [at(last, value), *(at(p, p.value.high) for p in ahead)]
    lows = [at(p, p.value.low) for p in reversed(ahead)]
    path = [at(last, value), *(at(p, p.value.value) for p in ahead)]
    return [
        element("polygon", points=" ".join(highs + lows), class_="band"),
        element("polyline", points=" ".join(path), class_="acc path dashed"),
    ]


def _point(
    point: Point,
    x: Callable[[float], float],
    y: Callable[[float], float],
    factor: float,
    tick: Callable[[float], str],
) -> Svg:
    value, low, high = (factor * (v or 0.0) for v in (point.value.value, point.value.low, point.value.high))
    across, colour = x(point.rows), "hollow" if point.extrapolated else "acc"
    parts = [title(f"{point.rows:,}: {tick(value)} ({tick(low)}–{tick(high)})")]
    if not point.extrapolated:
        parts.append(line(across, y(low), across, y(high), "acc whisker"))
    parts.append(element("circle", cx=across, cy=y(value), r=4.5, class_=colour))
    return element("g", *parts)
