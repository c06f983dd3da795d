"""The scores of a text's n-grams, laid on the words that they lie on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trunkline.explain.parts import Part, Texts
from trunkline.heads.dense import texts_of
from trunkline.heads.linear import LexicalPart
from trunkline.lexical import counts_of, normalise, occurrences
from trunkline.types import Inputs, Ints

Scores = NDArray[np.float64]


def ngram_scores(lexical: LexicalPart, row: Inputs, texts: Mapping[str, Texts]) -> dict[Part, Scores] | None:
    """Each word's summand (k,) of the head's scores; None where the signs that are counted can't be told apart by word
    (a text over lexical.MAX_CHARS, marks that are one sign only across words)."""
    counts = counts_of([texts_of([row], column) for column in lexical.texts])
    known = lexical.lexicon.weigh(counts)
    columns, values = known.row(0)
    hashes = lexical.lexicon.hashes[columns]
    summands = values[:, None].astype(np.float64) * lexical.weights[columns] * lexical.scale
    found: dict[Part, Scores] = {}
    places = [occurrences(normalise(row.get(column) or ""), salt) for salt, column in enumerate(lexical.texts)]
    held = [_known(hashes, name) for _, _, name in places]
    times = np.bincount(np.concatenate([at for _, at in held]), minlength=len(hashes)) if held else np.zeros(0)
    for column, (starts, ends, _), (here, at) in zip(lexical.texts, places, held, strict=True):
        text = texts.get(column)
        if text is None:
            continue
        owner = _owners(text)
        if owner is None:
            return None
        shares = _shares(len(owner), starts[here], ends[here], summands[at] / times[at][:, None])
        for i in range(len(text.units)):
            found[Part(column, "words", i, i + 1)] = shares[owner == i].sum(axis=0)
    return found


def _known(hashes: NDArray[np.uint32], names: NDArray[np.uint32]) -> tuple[Ints, Ints]:
    """(places in `names` that are known, which of `hashes` each is)."""
    if not len(hashes):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    at = np.minimum(np.searchsorted(hashes, names), len(hashes) - 1)
    here = np.flatnonzero(hashes[at] == names)
    return here, at[here]


def _shares(length: int, starts: Ints, ends: Ints, scores: Scores) -> Scores:
    """(length, k): each occurrence's score spread over its signs [start, end)."""
    each = scores / np.maximum(ends - starts, 1)[:, None]
    steps = np.zeros((length + 1, scores.shape[1]))
    np.add.at(steps, starts, each)
    np.add.at(steps, ends, -each)
    return np.cumsum(steps, axis=0)[:-1]


def _owners(text: Texts) -> Ints | None:
    """(signs,) the unit that each sign of the normalised text belongs to; a space belongs to what stands before it."""
    whole = normalise(text.text)
    cells = [normalise(text.cell(i)).replace(" ", "") for i in range(len(text.units))]
    if "".join(cells) != whole.replace(" ", ""):
        return None
    owner = np.repeat(np.arange(len(cells)), [len(cell) for cell in cells])
    solid = np.array([sign != " " for sign in whole], bool)
    return np.asarray(owner[np.maximum(np.cumsum(solid) - 1, 0)], np.int64)
