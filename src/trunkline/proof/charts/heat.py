"""The confusion matrix: log colour, the diagonal muted, confused labels side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trunkline.proof.charts.svg import WIDTH, Svg, element, fit, picture, room, text, title

COLUMNS, HEADINGS = 16, 14  # of a label beside and above the cells
FLAT = 3  # labels that have room to lie flat above their cells
LARGEST, SMALLEST_WRITTEN = 64, 21
STRONGEST = 0.6  # opacity under which the numbers on the cells stay readable


def heat_chart(labels: Sequence[str], counts: Sequence[Sequence[int]], alt: str) -> Svg:
    side = room(labels, COLUMNS)
    size = min(float(LARGEST), (WIDTH - side - 16) / max(1, len(labels)))
    flat = len(labels) <= FLAT
    head = 26.0 if flat else 0.77 * room(labels, HEADINGS) + 10
    most = max((n for i, row in enumerate(counts) for j, n in enumerate(row) if i != j), default=0)
    parts = []
    for at, label in enumerate(labels):
        middle = size * at + size / 2
        parts.append(text(side - 6, head + middle + 4, fit(label, COLUMNS), "ink", "end"))
        if flat:
            parts.append(text(side + middle, head - 8, fit(label, 9), "ink", "middle"))
            continue
        x, y = side + middle + 3, head - 8
        turn = f"rotate(-50 {x:.1f} {y:.1f})"
        parts.append(text(x, y, fit(label, HEADINGS), "ink", transform=turn))
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            name = f"{labels[i]} → {labels[j]}: {count:,}"
            parts.append(_cell(side + size * j, head + size * i, size, count, i == j, most, name))
    return picture(head + size * len(labels) + 6, alt, parts)


def _cell(x: float, y: float, size: float, count: int, right: bool, most: int, name: str) -> Svg:
    strength = 0.16 if right else STRONGEST * math.log1p(count) / math.log1p(max(1, most))
    parts = [
        title(name),
        element(
            "rect",
            x=x + 0.5,
            y=y + 0.5,
            width=size - 1,
            height=size - 1,
            class_="diagonal" if right else "heat",
            fill_opacity=round(strength, 3) if count else 0.04,
        ),
    ]
    if count and size >= SMALLEST_WRITTEN:
        parts.append(text(x + size / 2, y + size / 2 + 4, f"{count:,}", "soft" if right else "ink", "middle"))
    return element("g", *parts)
