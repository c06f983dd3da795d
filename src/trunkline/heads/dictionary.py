"""The head `dictionary`: spans that training rows had, looked up in a text; of those that overlap the longest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from trunkline.errors import BundleError
from trunkline.heads.dense import texts_of
from trunkline.heads.rowwise import array_of
from trunkline.heads.token_linear import atoms_of
from trunkline.types import Arrays, Inputs, Prediction, Program, Span

Words = tuple[str, ...]  # the atoms of a span


class Entry(NamedTuple):
    """What a span's words stand for, and the share of the places with these words where that was so."""

    label: int
    share: float


class Lookup:
    """Finds entries in the atoms of a text, from left to right, the longest first."""

    def __init__(self, entries: Mapping[Words, Entry]) -> None:
        self.entries = entries
        lengths: dict[str, set[int]] = {}
        for words in entries:
            lengths.setdefault(words[0], set()).add(len(words))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}

    def places(self, words: Sequence[str]) -> Iterator[tuple[int, int, Words]]:
        """(first atom, atom after the last, the entry's words)."""
        at = 0
        while at < len(words):
            for length in self._lengths.get(words[at], ()):
                key = tuple(words[at : at + length])
                if key in self.entries:
                    yield at, at + length, key
                    at += length - 1
                    break
            at += 1


class DictionaryHead:
    format: ClassVar[str] = "dictionary"

    def __init__(self, column: str, entries: Mapping[Words, Entry]) -> None:
        self.column, self._lookup = column, Lookup(entries)

    def run(self, rows: Sequence[Inputs]) -> Program:
        yield from ()
        return self.prediction(texts_of(rows, self.column))

    def prediction(self, texts: Sequence[str]) -> Prediction:
        values = np.empty(len(texts), object)
        values[:] = [self._spans(text) for text in texts]
        return Prediction(values)

    def _spans(self, text: str) -> tuple[Span, ...]:
        atoms, out = atoms_of(text), []
        for first, after, words in self._lookup.places(atoms.words):
            start, end = int(atoms.starts[first]), int(atoms.ends[after - 1])
            label, share = self._lookup.entries[words]
            out.append(Span(start, end, label, text[start:end], share))
        return tuple(out)

    def save(self) -> tuple[dict[str, Any], Arrays]:
        """words: UTF-8, a line an entry, its atoms apart by spaces, which no atom holds."""
        entries = self._lookup.entries
        lines = "\n".join(" ".join(words) for words in entries).encode("utf-8", "surrogatepass")
        arrays: Arrays = {
            "words": np.frombuffer(lines or b"\n", np.uint8),
            "labels": np.array([entry.label for entry in entries.values()] or [0], np.int32),
            "shares": np.array([entry.share for entry in entries.values()] or [0], np.float32),
        }
        return {"column": self.column, "entries": len(entries), "bytes": len(arrays["words"])}, arrays

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        """Raises BundleError where shapes or values don't fit each other."""
        words, labels, shares = (
            array_of(arrays, name, kind, 1) for name, kind in (("words", np.uint8), ("labels", np.int32), ("shares", np.float32))
        )
        n, found = meta.get("entries"), []
        if isinstance(n, int) and len(words) == meta.get("bytes"):
            found = words.tobytes().decode("utf-8", "surrogatepass").split("\n") if n else []
        if not isinstance(n, int) or len(found) != n or len(labels) != max(n, 1) or len(shares) != max(n, 1) or (labels < 0).any():
            raise BundleError("the parts of a dictionary head don't fit each other", found=repr(dict(meta))[:80])
        pairs = zip(found, labels.tolist(), shares.tolist(), strict=False)
        return cls(str(meta.get("column")), {tuple(line.split(" ")): Entry(label, share) for line, label, share in pairs})
