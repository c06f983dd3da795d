"""True against answered numbers; on the line they agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trunkline.proof.charts.svg import WIDTH, Svg, element, line, linear, picture, text, ticks

LEFT, RIGHT, TOP, HEIGHT = 58, 16, 10, 300


def scatter_chart(
    points: Sequence[tuple[float, float]], alt: str, tick: Callable[[float], str], names: tuple[str, str]
) -> Svg:
    """points: (true, answered); names of the two axes."""
    numbers = [x for point in points for x in point]
    marks = ticks(min(numbers), max(numbers), 5)
    x = linear((marks[0], marks[-1]), (LEFT, WIDTH - RIGHT))
    y = linear((marks[0], marks[-1]), (TOP + HEIGHT, TOP))
    parts = [line(LEFT, y(m), WIDTH - RIGHT, y(m), "grid") for m in marks]
    parts += [text(LEFT - 6, y(m) + 4, tick(m), "soft", "end") for m in marks]
    parts += [text(x(m), TOP + HEIGHT + 18, tick(m), "soft", "middle") for m in marks]
    parts.append(line(x(marks[0]), y(marks[0]), x(marks[-1]), y(marks[-1]), "ref"))
    parts += [element("circle", cx=x(true), cy=y(said), r=2.6, class_="cloud") for true, said in points]
    parts.append(text(WIDTH - RIGHT, TOP + HEIGHT + 36, f"{names[0]} →", "soft", "end"))
    parts.append(text(LEFT + 4, TOP + 12, f"↑ {names[1]}", "soft"))
    return picture(TOP + HEIGHT + 42, alt, parts)
