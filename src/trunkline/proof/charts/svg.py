"""Elements, scales and axes shared by the charts."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import NewType

Svg = NewType("Svg", str)
Scale = Callable[[float], float]
WIDTH = 440


def element(name: str, *children: Svg, **attributes: object) -> Svg:
    """An element with escaped attributes: `class_` gives class, `stroke_width` gives stroke-width."""
    parts = [
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    return Svg(f"<{name}{''.join(parts)}>{''.join(children)}</{name}>")


def words(text: str) -> Svg:
    return Svg(escape(text))


def text(
    x: float, y: float, content: str, class_: str = "soft", anchor: str = "start", **more: object
) -> Svg:
    return element("text", words(content), x=x, y=y, class_=class_, text_anchor=anchor, **more)


def line(x1: float, y1: float, x2: float, y2: float, class_: str = "ln", **more: object) -> Svg:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_, **more)


def title(content: str) -> Svg:
    """What shows on touching the element around it."""
    return element("title", words(content))


def picture(height: float, alt: str, children: Iterable[Svg], width: float = WIDTH) -> Svg:
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {_short(float(width))} {_short(float(height))}",
        role="img",
        aria_label=alt,
    )


def linear(domain: tuple[float, float], span: tuple[float, float]) -> Scale:
    (low, high), (start, end) = domain, span
    wide = (high - low) or 1.0
    return lambda value: start + (value - low) / wide * (end - start)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from at or below low to at or above high."""
    raw = (high - low) / max(1, count - 1)
    if raw <= 0 or not math.isfinite(raw):
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def fit(content: str, width: int) -> str:
    """The text cut to `width` columns (a Chinese character takes two)."""
    out = ""
    for character in content:
        if columns(out + character) > width:
            return out.rstrip() + "…"
        out += character
    return out


def columns(content: str) -> int:
    """Width of a text in columns."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in content)


def room(names: Iterable[str], most: int) -> float:
    """Width that the longest of the names takes, cut to `most` columns, with a gap beside it."""
    return 6.8 * min(most + 1, max((columns(name) for name in names), default=0)) + 10


def known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _short(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
