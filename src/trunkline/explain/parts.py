"""The parts of a row, and the same row without some of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from trunkline.columns import TABLE_KINDS
from trunkline.explain.words import cells_of, units_of
from trunkline.types import Inputs

Kind = Literal["words", "column", "region"]
COARSE = 12  # parts that a text is cut into first where its words are too many to leave out one by one
FINE = 4  # that a part is cut into afterwards


class Part(NamedTuple):
    """Something of a row that can be left out. first, last: of a text, its units [first, last); of a picture, a box."""

    column: str
    kind: Kind
    first: int = 0
    last: int = 0


@dataclass(frozen=True)
class Told:
    """A part in the words of its row: characters [start, end) of a text as it was read."""

    name: str
    start: int | None = None
    end: int | None = None
    box: tuple[float, float, float, float] | None = None


class Texts:
    """One text column of a row."""

    def __init__(self, column: str, text: str) -> None:
        self.column, self.text = column, text
        self.units = units_of(text)
        self._cells = cells_of(text, self.units)

    def parts(self, most: int) -> list[Part]:
        """Its words, or where there are more than `most`, COARSE groups of neighbours."""
        n = len(self.units)
        return cut(Part(self.column, "words", 0, n), n if n <= most else min(COARSE, most)) if n else []

    def finer(self, part: Part) -> list[Part]:
        return cut(part, FINE) if part.last - part.first > 1 else []

    def single(self, part: Part) -> list[Part]:
        return cut(part, part.last - part.first)

    def without(self, gone: Sequence[Part], other: Inputs | None = None) -> str:
        """"" where nothing is left."""
        left = np.ones(len(self.units), bool)
        for part in gone:
            left[part.first : part.last] = False
        kept = (self.text[a:b] for (a, b), stays in zip(self._cells, left.tolist(), strict=True) if stays)
        return "".join(kept).strip()

    def told(self, part: Part) -> Told:
        start, end = self.units[part.first][0], self.units[part.last - 1][1]
        return Told(self.text[start:end], start, end)

    def cell(self, unit: int) -> str:
        """A unit with what follows it."""
        start, end = self._cells[unit]
        return self.text[start:end]


class Cells:
    """One table column of a row; without it, it holds `typical`."""

    def __init__(self, column: str, value: Any, typical: Any) -> None:
        self.column, self.value, self.typical = column, value, typical

    def parts(self, most: int) -> list[Part]:
        return [Part(self.column, "column")]

    def finer(self, part: Part) -> list[Part]:
        return []

    def single(self, part: Part) -> list[Part]:
        return [part]

    def without(self, gone: Sequence[Part], other: Inputs | None = None) -> Any:
        return self.typical if other is None else other[self.column]

    def told(self, part: Part) -> Told:
        return Told(f"{self.column} = {shown(self.value)}")


class Column(Protocol):
    """What of one column of a row can be left out."""

    def parts(self, most: int) -> list[Part]:
        """To begin with."""
        ...

    def finer(self, part: Part) -> list[Part]:
        """What a part can be cut into; [] where it can't."""
        ...

    def single(self, part: Part) -> list[Part]:
        """A part as the smallest ones."""
        ...

    def without(self, gone: Sequence[Part], other: Inputs | None = None) -> Any:
        """The column's cell without these parts. other: a row whose cell stands for a left-out one of a table."""
        ...

    def told(self, part: Part) -> Told: ...


def cut(part: Part, count: int) -> list[Part]:
    """`count` parts (fewer where it has fewer units) of about equal size."""
    edges = np.unique(np.linspace(part.first, part.last, count + 1).round().astype(int)).tolist()
    return [part._replace(first=a, last=b) for a, b in itertools.pairwise(edges)]


def shown(value: Any) -> str:
    """A cell for people."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


class Parts:
    """What of a row can be left out: words of its texts, regions of its pictures, table columns. Other columns (sounds)
    stay as they are.

    kinds: column -> input kind. typical: column -> what stands for a missing cell, where nothing (nan, None) won't do.
    """

    def __init__(self, row: Inputs, kinds: Mapping[str, str], typical: Mapping[str, Any]) -> None:
        self.row = row
        self.columns: dict[str, Column] = {}
        for column, kind in kinds.items():
            value = row.get(column)
            if kind == "text" and value:
                self.columns[column] = Texts(column, value)
            elif kind == "image" and value is not None:
                from trunkline.explain.regions import Regions  # which stands on this

                self.columns[column] = Regions(column, value)
            elif kind in TABLE_KINDS:
                nothing = None if kind == "category" else math.nan
                self.columns[column] = Cells(column, value, typical.get(column, nothing))

    def first(self, most: int) -> list[Part]:
        """The parts to begin with; of texts at most `most` together."""
        large = sum(not isinstance(one, Cells) for one in self.columns.values())
        return [part for one in self.columns.values() for part in one.parts(max(1, most // max(1, large)))]

    def finer(self, part: Part) -> list[Part]:
        return self.columns[part.column].finer(part)

    def without(self, gone: Sequence[Part], other: Inputs | None = None) -> Inputs:
        """The row without these parts. other: a row whose cells stand for those of left-out table columns."""
        by_column: dict[str, list[Part]] = {}
        for part in gone:
            by_column.setdefault(part.column, []).append(part)
        return {**self.row, **{column: self.columns[column].without(parts, other) for column, parts in by_column.items()}}

    def single(self, part: Part) -> list[Part]:
        return self.columns[part.column].single(part)

    def told(self, part: Part) -> Told:
        return self.columns[part.column].told(part)
