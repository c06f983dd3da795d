"""Unlabelled texts of files, and their tokens in pieces that the trunk reads at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.data.read import open_path
from trunkline.data.sources.text import not_text, open_text
from trunkline.engines.text import Locates
from trunkline.errors import DataError, nearest
from trunkline.inputs import KINDS

LINES = ".txt"  # of such a file every line is a text


@dataclass(frozen=True)
class Pieces:
    """Tokens of one piece of a text: ids with prefix and marks, the text's own from `first` on, `count` of them."""

    ids: list[int]
    first: int
    count: int


def read_texts(files: Sequence[Path], columns: Sequence[str]) -> list[str]:
    """Distinct texts in order; cells without one are left out. columns: all of them are read, as texts of their own.

    Raises DataError: a file that can't be read, a column that isn't there, none named where there are several, no text.
    """
    read = KINDS.get("text")().read
    cells = (cell for file in files for cell in _cells(file, columns))
    texts = list(dict.fromkeys(text for cell in cells if isinstance(text := read(cell), str)))
    if not texts:
        raise DataError("there are no texts", where=", ".join(map(str, files)), wanted="a column of texts with some in it")
    return texts


def _cells(file: Path, columns: Sequence[str]) -> Iterator[Any]:
    if file.suffix.lower() == LINES:
        yield from _lines(file)
        return
    for row in open_path(file).rows():
        names = list(columns) or _only(file, list(row))
        for name in names:
            if name not in row:
                raise DataError("this file lacks a column", where=str(file), found=", ".join(row), wanted=name, hint=nearest(name, row))
            yield row[name]


def _only(file: Path, names: list[str]) -> list[str]:
    if len(names) == 1:
        return names
    raise DataError("which column holds the texts?", where=str(file), found=", ".join(names), hint=f"--column {names[0]}")


def _lines(file: Path) -> Iterator[str]:
    handle, _ = open_text(file, None, newline=None)
    with handle:
        try:
            yield from (line.rstrip("\n") for line in handle)
        except UnicodeError as error:
            raise not_text(file, error, handle.encoding) from error


def pieces_of(text: str, tokenizer: Locates) -> Iterator[Pieces]:
    """The whole text in pieces of like length, each within the trunk's limit."""
    ids = tokenizer.pieces(text).ids
    for part in np.array_split(np.array(ids, np.int64), -(-len(ids) // tokenizer.room) or 1):
        if len(part):
            framed, first = tokenizer.framed(part.tolist())
            yield Pieces(framed, first, len(part))


def block_of(pieces: Sequence[Pieces]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """(ids, mask, own), each (n, longest): 0 behind each piece, 1 where a token is, True where it is the text's own."""
    ids = np.zeros((len(pieces), max(len(each.ids) for each in pieces)), np.int64)
    mask, own = np.zeros_like(ids), np.zeros(ids.shape, bool)
    for at, each in enumerate(pieces):
        ids[at, : len(each.ids)], mask[at, : len(each.ids)] = each.ids, 1
        own[at, each.first : each.first + each.count] = True
    return ids, mask, own
