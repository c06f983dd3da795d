"""The regions of a picture: a grid, whose heaviest cells are cut finer; a left-out one has the picture's mean colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from trunkline.explain.parts import Part, Told
from trunkline.inputs.image import Picture, picture_of
from trunkline.types import Inputs

if TYPE_CHECKING:
    from PIL.Image import Image as Pixels

GRID = 4  # cells a side to begin with
FINEST = 8 * GRID  # a part's box is in steps of 1 / FINEST of each side
_ROWS = ("top", "upper middle", "lower middle", "bottom")
_COLUMNS = ("left", "centre left", "centre right", "right")

Box = tuple[int, int, int, int]  # left, top, right, bottom in steps


class Regions:
    """One image column of a row. A part's first and last number its box (`_number`)."""

    def __init__(self, column: str, picture: Picture) -> None:
        self.column, self.picture = column, picture
        self._pixels: Pixels | None = None

    def parts(self, most: int) -> list[Part]:
        side = max(1, min(GRID, int(most**0.5)))
        return self._cut((0, 0, FINEST, FINEST), side)

    def finer(self, part: Part) -> list[Part]:
        box = box_of(part)
        return self._cut(box, 2) if box[2] - box[0] > 1 else []

    def single(self, part: Part) -> list[Part]:
        """The part as cells of the finest grid that a budget of rows reaches."""
        box = box_of(part)
        return self._cut(box, max(1, (box[2] - box[0]) * GRID * 2 // FINEST))

    def without(self, gone: Sequence[Part], other: Inputs | None = None) -> Picture:
        from PIL import Image as Pillow

        painted = np.array(self._rgb())
        mean = painted.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
        height, width = painted.shape[:2]
        for part in gone:
            left, top, right, bottom = box_of(part)
            painted[top * height // FINEST : bottom * height // FINEST, left * width // FINEST : right * width // FINEST] = mean
        return picture_of(Pillow.fromarray(painted))

    def told(self, part: Part) -> Told:
        left, top, right, bottom = box_of(part)
        name = f"{_ROWS[(top + bottom) * 2 // FINEST]} {_COLUMNS[(left + right) * 2 // FINEST]}"
        if (right - left, bottom - top) == (FINEST, FINEST):
            name = "all of it"
        return Told(name, box=(left / FINEST, top / FINEST, right / FINEST, bottom / FINEST))

    def _rgb(self) -> Pixels:
        if self._pixels is None:
            self._pixels = self.picture.rgb()
        return self._pixels

    def _cut(self, box: Box, side: int) -> list[Part]:
        left, top, right, bottom = box
        xs, ys = (np.linspace(a, b, side + 1).round().astype(int).tolist() for a, b in ((left, right), (top, bottom)))
        return [
            Part(self.column, "region", *_number((xs[i], ys[j], xs[i + 1], ys[j + 1]))) for j in range(side) for i in range(side)
        ]


def _number(box: Box) -> tuple[int, int]:
    """A box as two numbers, its corners."""
    left, top, right, bottom = box
    return top * (FINEST + 1) + left, bottom * (FINEST + 1) + right


def box_of(part: Part) -> Box:
    (top, left), (bottom, right) = divmod(part.first, FINEST + 1), divmod(part.last, FINEST + 1)
    return left, top, right, bottom
