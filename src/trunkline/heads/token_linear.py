"""The head `token_linear`: spans of a text, by scores that are linear in its tokens' vectors and its signs.

A text is cut into atoms (a Chinese sign, a word, a number, a mark); each gets a tag of BIOES by the best path
through tags that may follow each other (Viterbi 1967).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.heads.dense import texts_of
from trunkline.heads.rowwise import Matrix, array_of
from trunkline.types import Arrays, Call, Inputs, Ints, Prediction, Program, Span, Tokens

_ATOM = re.compile(r"[\u3400-\u9fff]|[^\W\d_\u3400-\u9fff]+|\d+|\S")
TURNS = 3  # vectors of an atom: its own, the one before, the one after
NAMES = "BIES"  # tag 1 + 4 * label + place in NAMES; tag 0 = O


class Atoms(NamedTuple):
    """Parts of a text: their words, and characters [starts, ends)."""

    words: list[str]
    starts: Ints
    ends: Ints


def atoms_of(text: str) -> Atoms:
    found = list(_ATOM.finditer(text))
    starts, ends = ([edge(match) for match in found] for edge in (re.Match.start, re.Match.end))
    return Atoms([match[0] for match in found], np.array(starts, np.int64), np.array(ends, np.int64))


def vectors_of(tokens: Tokens, atoms: Atoms, dim: int) -> Matrix:
    """float32 (atoms, dim): the mean of the tokens that share characters with each; zero where none does."""
    some = tokens.starts < tokens.ends
    starts, ends, vectors = tokens.starts[some], tokens.ends[some], tokens.vectors[some]
    low, high = np.searchsorted(ends, atoms.starts, "right"), np.searchsorted(starts, atoms.ends, "left")
    sums = np.zeros((len(vectors) + 1, dim))
    sums[1:] = np.cumsum(vectors, axis=0, dtype=np.float64).reshape(-1, dim)
    held = np.maximum(high - low, 1)[:, None]
    return np.asarray(np.where((high > low)[:, None], sums[high] - sums[low], 0.0) / held, np.float32)


def signs_of(words: Sequence[str], buckets: int) -> NDArray[np.int64]:
    """(atoms, features) hashed: the words about each atom, their shapes, its beginning and end."""
    low = ["", "", *(word.lower() for word in words), "", ""]
    shapes = [_shape(word) for word in ["", "", *words, "", ""]]
    rows = []
    for i in range(2, len(words) + 2):
        a, b, w, c, d = low[i - 2 : i + 3]
        made = (w, b, c, a, d, f"{b}|{w}", f"{w}|{c}", f"{a}|{b}", f"{c}|{d}", f"{b}|{c}", f"{a}|{b}|{w}", f"{w}|{c}|{d}",
                "|".join(shapes[i - 1 : i + 2]), shapes[i], w[:2], w[-3:])  # fmt: skip
        rows.append([zlib.crc32(f"{at} {sign}".encode("utf-8", "replace")) % buckets for at, sign in enumerate(made)])
    return np.array(rows, np.int64).reshape(len(words), -1)


def _shape(word: str) -> str:
    if word.isdigit():
        return f"9{min(len(word), 6)}"
    kind = "A" if word.isupper() else "Aa" if word[:1].isupper() else "a"
    return kind + str(min(len(word), 3)) if word.isascii() and word.isalpha() else word[:1]


def allowed(labels: int) -> NDArray[np.bool_]:
    """(tags + 1, tags): which tag may follow which; the last row is the beginning of a text."""
    tags = 1 + 4 * labels
    out = np.zeros((tags + 1, tags), bool)
    fresh = [0, *(1 + 4 * label + place for label in range(labels) for place in (0, 3))]
    out[np.ix_([0, tags, *(1 + 4 * label + place for label in range(labels) for place in (2, 3))], fresh)] = True
    for label in range(labels):
        begin = 1 + 4 * label
        out[begin : begin + 2, begin + 1 : begin + 3] = True
    return out


def best_path(logs: NDArray[np.float64], may: NDArray[np.bool_]) -> Ints:
    """(atoms,) tags of the largest sum of logs (atoms, tags) among paths that `may`, and that end no span open."""
    n, tags = logs.shape
    follow = np.where(may[:tags], 0.0, -np.inf)
    score = np.where(may[tags], logs[0], -np.inf)
    back = np.zeros((n, tags), np.int64)
    for i in range(1, n):
        joint = score[:, None] + follow
        back[i] = joint.argmax(axis=0)
        score = joint[back[i], np.arange(tags)] + logs[i]
    open_ones = [tag for tag in range(1, tags) if (tag - 1) % 4 < 2]
    score[open_ones] = -np.inf
    path = np.zeros(n, np.int64)
    path[-1] = score.argmax()
    for i in range(n - 1, 0, -1):
        path[i - 1] = back[i, path[i]]
    return path


def spans_of(text: str, atoms: Atoms, logs: NDArray[np.float64], may: NDArray[np.bool_]) -> tuple[Span, ...]:
    """The spans of the best path; a span is as sure as its least sure atom."""
    if not len(logs):
        return ()
    path = best_path(logs, may)
    sure = np.exp(logs[np.arange(len(path)), path])
    out, begin = [], 0
    for i, tag in enumerate(path.tolist()):
        place = (tag - 1) % 4
        if tag and place in (0, 3):
            begin = i
        if tag and place in (2, 3):
            start, end = int(atoms.starts[begin]), int(atoms.ends[i])
            out.append(Span(start, end, (tag - 1) // 4, text[start:end], float(sure[begin : i + 1].min())))
    return tuple(out)


def log_shares(scores: NDArray[Any]) -> NDArray[np.float64]:
    wide = scores.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return np.asarray(wide - np.log(np.exp(wide).sum(axis=1, keepdims=True)))


class TokenLinearHead:
    """weights float32 (3 * dim, tags) on vectors less `middle`, times `spread`; signs float32 (buckets, tags)."""

    format: ClassVar[str] = "token_linear"

    def __init__(
        self, engine: str, column: str, middle: Matrix, spread: Matrix, weights: Matrix, signs: Matrix, bias: Matrix
    ) -> None:
        self.engine, self.column, self.middle, self.spread = engine, column, middle, spread
        self.weights, self.signs, self.bias = weights, signs, bias
        self._may = allowed((len(bias) - 1) // 4)

    def run(self, rows: Sequence[Inputs]) -> Program:
        texts = texts_of(rows, self.column)
        (outputs,) = yield [Call(self.engine, texts, "tokens")]
        values = np.empty(len(rows), object)
        values[:] = [self._spans(text, tokens) for text, tokens in zip(texts, outputs, strict=True)]
        return Prediction(values)

    def _spans(self, text: str, tokens: Tokens) -> tuple[Span, ...]:
        atoms = atoms_of(text)
        if not atoms.words:
            return ()
        own = (vectors_of(tokens, atoms, len(self.middle)) - self.middle) * self.spread
        edge = np.zeros((1, own.shape[1]), np.float32)
        around = np.concatenate([own, np.concatenate([edge, own[:-1]]), np.concatenate([own[1:], edge])], axis=1)
        scores = around @ self.weights + self.signs[signs_of(atoms.words, len(self.signs))].sum(axis=1) + self.bias
        return spans_of(text, atoms, log_shares(scores), self._may)

    def save(self) -> tuple[dict[str, Any], Arrays]:
        arrays: Arrays = {"middle": self.middle, "spread": self.spread, "bias": self.bias}
        arrays |= {"weights": self.weights.astype(np.float16), "signs": self.signs.astype(np.float16)}
        return {"engine": self.engine, "column": self.column, "buckets": len(self.signs)}, arrays

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        """Raises BundleError where shapes or values don't fit each other."""
        middle, spread, bias = (array_of(arrays, name, np.float32, 1) for name in ("middle", "spread", "bias"))
        weights, signs = (array_of(arrays, name, np.float16, 2).astype(np.float32) for name in ("weights", "signs"))
        shapes = (len(spread), *weights.shape, *signs.shape, len(bias) % 4)
        wanted = (len(middle), TURNS * len(middle), len(bias), meta.get("buckets"), len(bias), 1)
        if shapes != wanted or not len(signs):
            raise BundleError("the parts of a token_linear head don't fit each other", found=str(shapes), wanted=str(wanted))
        return cls(str(meta.get("engine")), str(meta.get("column")), middle, spread, weights, signs, bias)
