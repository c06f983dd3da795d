"""The picture of docs/matrix.md: memory and rows/s against the number of products, one line a server.

Drawn with the report's parts and in its colours; it turns dark with the reader's system. Run as a benchmark, it does nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from trunkline.proof.charts.svg import Scale, Svg, element, line, linear, text, ticks, title

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 440, 330, 48, 16, 58, 44  # of a panel
PRODUCTS = (1, 10, 100, 1000)
GAP = 15  # between two labels
STYLE = """
text { font: 12px system-ui, "PingFang SC", "Noto Sans CJK SC", sans-serif; font-variant-numeric: tabular-nums; }
.paper { fill: var(--paper); } .soft { fill: var(--soft); } .ink { fill: var(--ink); }
.said { fill: var(--ink); font-size: 14px; font-weight: 600; } .own { fill: var(--accent); font-weight: 600; }
.grid { stroke: var(--line); } .whisker { stroke-width: 2; } polyline { fill: none; stroke-width: 1.5; }
circle.acc { fill: var(--accent); } circle.ctx { fill: var(--context); }
line.acc, polyline.acc { stroke: var(--accent); } line.ctx, polyline.ctx { stroke: var(--context); }
"""


@dataclass(frozen=True)
class Point:
    """A figure with the lowest and highest of its runs, by number of products."""

    products: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """said: what the panel shows, as a sentence. shown: what is drawn, with its unit."""

    said: str
    shown: str
    lines: Mapping[str, Sequence[Point]]


def chart(panels: Sequence[Panel], ours: str, alt: str) -> str:
    """An SVG file; panels side by side, the line named `ours` in the accent colour."""
    width = WIDTH * len(panels)
    back = element("rect", width=width, height=HEIGHT, class_="paper")
    drawn = [element("g", *_panel(one, ours), transform=f"translate({WIDTH * at} 0)") for at, one in enumerate(panels)]
    return element(
        "svg", element("style", Svg(_colours() + STYLE)), back, *drawn,
        xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {width} {HEIGHT}", width=width, height=HEIGHT,
        role="img", aria_label=alt,
    ) + "\n"  # fmt: skip


def _colours() -> str:
    """The report's, light and dark."""
    css = (files("trunkline.proof") / "templates" / "report.css").read_text(encoding="utf-8")
    found = re.match(r":root \{.*?\n\}\n@media \(prefers-color-scheme: dark\) \{.*?\n\}\n", css, re.DOTALL)
    assert found is not None, "report.css begins otherwise"
    return "\n" + found[0]


def _panel(panel: Panel, ours: str) -> list[Svg]:
    x = _across()
    marks = ticks(0, max(point.high for points in panel.lines.values() for point in points), 5)
    y = linear((marks[0], marks[-1]), (HEIGHT - BOTTOM, TOP))
    parts = [text(LEFT, 20, panel.said, "said"), text(LEFT, 38, panel.shown, "soft")]
    for mark in marks:
        parts += [line(LEFT, y(mark), WIDTH - RIGHT, y(mark), "grid"), text(LEFT - 6, y(mark) + 4, f"{mark:,.0f}", "soft", "end")]
    parts += [text(x(size), HEIGHT - BOTTOM + 18, f"{size:,}", "soft", "middle") for size in PRODUCTS]
    parts.append(text(WIDTH - RIGHT, HEIGHT - BOTTOM + 34, "products", "soft", "end"))
    others = {name: points for name, points in panel.lines.items() if name != ours}
    for name, points in (*others.items(), (ours, panel.lines[ours])):
        parts += _line(name, points, x, y, "acc" if name == ours else "ctx")
    return [*parts, *_labels(others, x, y), _own_label(ours, panel.lines[ours], x, y)]


def _across() -> Scale:
    scale = linear((0, math.log10(PRODUCTS[-1])), (LEFT + 8, WIDTH - RIGHT - 6))
    return lambda products: scale(math.log10(products))


def _line(name: str, points: Sequence[Point], x: Scale, y: Scale, colour: str) -> list[Svg]:
    path = " ".join(f"{x(point.products):.1f},{y(point.value):.1f}" for point in points)
    parts = [element("polyline", points=path, class_=colour)]
    for point in points:
        across = x(point.products)
        parts.append(
            element(
                "g",
                title(f"{name}, {point.products:,} products: {point.value:,.0f} ({point.low:,.0f}-{point.high:,.0f})"),
                line(across, y(point.low), across, y(point.high), f"{colour} whisker"),
                element("circle", cx=across, cy=y(point.value), r=3.5, class_=colour),
            )
        )
    return parts


def _labels(others: Mapping[str, Sequence[Point]], x: Callable[[float], float], y: Scale) -> list[Svg]:
    """Beside each line's end, lowest first, moved up where two would touch."""
    parts, free = [], float(HEIGHT - BOTTOM)
    for name, points in sorted(others.items(), key=lambda item: item[1][-1].value):
        end = points[-1]
        free = min(y(end.value), free - GAP)
        parts.append(text(x(end.products) + 8, free + 4, f"{name} {end.value:,.0f}", "ink"))
    return parts


def _own_label(name: str, points: Sequence[Point], x: Scale, y: Scale) -> Svg:
    end = points[-1]
    return text(x(end.products), y(end.high) - 10, f"{name} {end.value:,.0f}", "own", "end")
