"""Small pictures of a few pixels side by side, each with its caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.proof.charts.svg import WIDTH, Svg, element, fit, picture, text, title

ACROSS = 6  # tiles
TILE, HEIGHT = 48.0, 80.0  # of a picture; of a picture with its caption
CAPTION = 10  # columns of text


@dataclass(frozen=True)
class Tile:
    """pixels: side * side colours as #rrggbb, row by row."""

    caption: str
    side: int
    pixels: Sequence[str]


def tiles_chart(tiles: Sequence[Tile], alt: str) -> Svg:
    wide = WIDTH / ACROSS
    parts = [_tile(tile, at % ACROSS * wide + (wide - TILE) / 2, at // ACROSS * HEIGHT + 4) for at, tile in enumerate(tiles)]
    return picture(-(-len(tiles) // ACROSS) * HEIGHT, alt, parts)


def _tile(tile: Tile, left: float, top: float) -> Svg:
    size = TILE / tile.side
    cells = [
        element("rect", x=left + at % tile.side * size, y=top + at // tile.side * size, width=size, height=size, fill=colour)
        for at, colour in enumerate(tile.pixels)
    ]
    caption = text(left + TILE / 2, top + TILE + 16, fit(tile.caption, CAPTION), "soft", "middle")
    whole = element("g", *cells, shape_rendering="crispEdges")  # else the paper shows through where two cells meet
    return element("g", title(tile.caption), whole, caption)
