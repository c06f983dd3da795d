"""Lexical features: hashed word and character n-grams with tf-idf weights; numpy only.

Training and serving use this same code. All arithmetic on n-grams is on integers, and each row is
weighted on its own, so a row's features never depend on its batch-mates.

What counts as an n-gram: characters 3-4 inside a run without spaces (the space before and after a
word included, as scikit-learn's `char_wb`), 1-3 where they hold a Chinese or Japanese character;
words 1-2, a word being a run of letters and digits that isn't Chinese or Japanese. Single letters and
pairs were 40 % of all n-grams of English rows and changed no accuracy (banking77, toxicity).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.types import Arrays, Ints

MAX_CHARS = 20_000  # of one text; what lies behind isn't read, so that one text can't take minutes
_CHAR_N = (3, 4)
_CJK_N = (1, 3)
_SHORT = 2_000  # characters of a row whose n-grams are remembered
_RUN = 40  # characters of a run without spaces that may come again
_CELLS = 4_000_000  # n-grams times lexicons looked up at once: bounds memory, never the result
_CHUNK = 4_000_000  # characters hashed at once: bounds memory, never the result

_SPACE = 32
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_WORD_SALT = np.uint64(0xD1B54A32D192ED03)
_PAIR_SALT = np.uint64(0x8CB92BA72F3D8DD7)

Hashes = NDArray[np.uint32]


@dataclass(frozen=True)
class Counts:
    """How often each n-gram stands in each row: parallel arrays, ordered by row, then hash."""

    row: Ints
    hash: Hashes
    count: NDArray[np.int64]
    n: int  # rows, those without any n-gram included


@dataclass(frozen=True)
class SparseRows:
    """A sparse (n, features) matrix by rows (CSR); columns are ascending within each row."""

    indptr: Ints
    columns: Ints
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def row(self, i: int) -> tuple[Ints, NDArray[np.float32]]:
        at = slice(self.indptr[i], self.indptr[i + 1])
        return self.columns[at], self.values[at]


def count_ngrams(texts: Sequence[Sequence[str]]) -> Counts:
    """Count the n-grams of rows. `texts` holds one sequence of n texts per text column; equal
    n-grams of different columns are different features."""
    n = len(texts[0]) if texts else 0
    parts = list(_parts(texts, n))
    if not parts:
        return Counts(np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0, np.int64), n)
    row, name, count = (np.concatenate(p) for p in zip(*parts, strict=True))
    return Counts(row, name, count, n)


def counts_of(texts: Sequence[Sequence[str]]) -> Counts:
    """`count_ngrams`, remembered for single short rows: a hundred products that read one text count once."""
    if len(texts[0]) == 1 and sum(len(column[0]) for column in texts) <= _SHORT:
        return _counted(tuple(column[0] for column in texts))
    return count_ngrams(texts)


@lru_cache(maxsize=256)
def _counted(row: tuple[str, ...]) -> Counts:
    """`count_ngrams` of one row, put together from its words where they are such as come again."""
    texts = [normalise(text) for text in row]
    if any(len(run) > _RUN for text in texts for run in text.split(" ")):  # Chinese and Japanese, mostly
        return count_ngrams([[text] for text in row])
    mixed = np.concatenate([_mix(_raw(text) + _seed(salt)) for salt, text in enumerate(texts)])
    unique, count = np.unique(mixed, return_counts=True)
    return Counts(np.zeros(len(unique), np.int64), unique.astype(np.uint32), count.astype(np.int64), 1)


def _raw(text: str) -> NDArray[np.uint64]:
    """The raw hashes of all n-grams of a normalised text."""
    chars, words = zip(*map(_of_run, text.split(" ")), strict=True)
    each = np.concatenate(words)
    pairs = (each[:-1] * _PRIME + each[1:]) ^ _PAIR_SALT
    return np.concatenate([*chars, each ^ _WORD_SALT, pairs])


@lru_cache(maxsize=8_192)
def _of_run(run: str) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """(raw hashes of the character n-grams, of the words before their salt) of a run without spaces: no n-gram of
    characters leaves it."""
    codes, cjk = _codes(f" {run} ")
    chars = np.concatenate([value for _, value in _char_ngrams(codes, cjk)])
    return chars, _words(codes, cjk)[1]


def _parts(texts: Sequence[Sequence[str]], n: int) -> Iterator[tuple[Ints, Hashes, Ints]]:
    """Unique (row, hash) pairs with counts, a slice of rows at a time."""
    cleaned = [[normalise(text) for text in column] for column in texts]
    for start, stop in _slices(cleaned, n):
        pairs = np.concatenate(
            [_pairs(column[start:stop], salt) for salt, column in enumerate(cleaned)]
        )
        unique, count = np.unique(pairs, return_counts=True)
        if len(unique):
            row = (unique >> np.uint64(32)).astype(np.int64) + start
            yield row, unique.astype(np.uint32), count.astype(np.int64)


def _slices(cleaned: Sequence[Sequence[str]], n: int) -> Iterator[tuple[int, int]]:
    start = size = 0
    for i in range(n):
        size += sum(len(column[i]) for column in cleaned)
        if size > _CHUNK:
            yield start, i + 1
            start, size = i + 1, 0
    if start < n:
        yield start, n


def normalise(text: str) -> str:
    """NFKC, lower case, single spaces, at most MAX_CHARS characters; NUL, which would hash to nothing,
    is a space."""
    text = text[:MAX_CHARS].replace("\0", " ")
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)[:MAX_CHARS]
    return " ".join(text.lower().split())


def _pairs(texts: Sequence[str], salt: int) -> NDArray[np.uint64]:
    """(row << 32 | hash) of every n-gram occurrence."""
    codes, cjk = _codes("".join(f" {text} " for text in texts))
    row = np.repeat(
        np.arange(len(texts), dtype=np.uint64), np.fromiter((len(t) + 2 for t in texts), np.int64, len(texts))
    )
    found = [*_char_ngrams(codes, cjk), *_word_ngrams(codes, cjk, row)]
    return np.concatenate([(row[at] << np.uint64(32)) | _mix(value + _seed(salt)) for at, value in found])


def _codes(text: str) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """(the characters, which are Chinese or Japanese)."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return codes, ((codes >= 0x3040) & (codes <= 0x9FFF)) | ((codes >= 0x20000) & (codes <= 0x3FFFF))


def _seed(salt: int) -> np.uint64:
    """What keeps n-grams of different text columns apart."""
    return np.uint64(salt * 0x2545F491)


def _char_ngrams(
    codes: NDArray[np.uint32], cjk: NDArray[np.bool_]
) -> Iterator[tuple[Ints, NDArray[np.uint64]]]:
    """(start, raw hash) of each character n-gram: spaces only at its ends, so never across words."""
    wide = codes.astype(np.uint64)
    space = codes == _SPACE
    value = wide.copy()
    holds_cjk = cjk.copy()
    inner = np.zeros(len(codes), bool)  # a space strictly inside
    at = np.flatnonzero(cjk)
    yield at, value[at]
    for n in range(2, _CHAR_N[1] + 1):
        size = len(codes) - n + 1
        if size <= 0:
            return
        if n > 2:
            inner = inner[:size] | space[n - 2 : n - 2 + size]
        value = value[:size] * _PRIME + wide[n - 1 :]
        holds_cjk = holds_cjk[:size] | cjk[n - 1 :]
        good = ~inner[:size]
        if n == 2:
            good &= ~(space[:size] & space[1:])  # between two texts
        if n > _CJK_N[1]:
            good &= ~holds_cjk
        if n < _CHAR_N[0]:
            good &= holds_cjk
        at = np.flatnonzero(good)
        yield at, value[at]


def _word_ngrams(
    codes: NDArray[np.uint32], cjk: NDArray[np.bool_], row: NDArray[np.uint64]
) -> Iterator[tuple[Ints, NDArray[np.uint64]]]:
    """(start, raw hash) of each word, and of each pair of neighbouring words of one row."""
    starts, values = _words(codes, cjk)
    yield starts, values ^ _WORD_SALT
    pair = row[starts[:-1]] == row[starts[1:]]
    yield starts[:-1][pair], ((values[:-1] * _PRIME + values[1:]) ^ _PAIR_SALT)[pair]


def _words(codes: NDArray[np.uint32], cjk: NDArray[np.bool_]) -> tuple[Ints, NDArray[np.uint64]]:
    """(start, raw hash) of each word, before its salt."""
    word = np.strings.isalnum(codes.view("<U1")) & ~cjk
    at = np.flatnonzero(word)
    if not len(at):
        return at, np.empty(0, np.uint64)
    first = np.flatnonzero(np.diff(at, prepend=-2) != 1)  # in `at`: where runs begin
    place = np.arange(len(at)) - np.repeat(first, np.diff(first, append=len(at)))
    powers = np.multiply.accumulate(np.full(int(place.max()) + 1, _PRIME, np.uint64))
    values = np.add.reduceat(codes[at].astype(np.uint64) * powers[place], first)
    return at[first], values


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The top 32 bits of splitmix64's finaliser (Steele, Lea, Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (value ^ (value >> np.uint64(31))) >> np.uint64(32)


@dataclass(frozen=True)
class Lexicon:
    """A vocabulary of n-gram hashes with their inverse document frequencies.

    hashes: (features,) uint32, ascending, distinct. idf: (features,) float16, above 0.
    """

    hashes: Hashes
    idf: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.hashes)

    def transform(self, texts: Sequence[Sequence[str]]) -> SparseRows:
        """tf-idf rows of Euclidean length 1 (0 where no n-gram is known); `texts` as in count_ngrams."""
        return self.weigh(count_ngrams(texts))

    def weigh(self, counts: Counts) -> SparseRows:
        """(1 + log count) * idf, each row divided by its length (sublinear tf, as in scikit-learn)."""
        return weigh_each([self], counts)

    def arrays(self) -> Arrays:
        return {"hashes": self.hashes, "idf": self.idf}

    @classmethod
    def load(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Raises BundleError where the arrays aren't a lexicon."""
        hashes, idf = arrays.get("hashes"), arrays.get("idf")
        if hashes is None or idf is None or hashes.dtype != np.uint32 or idf.dtype != np.float16:
            raise BundleError("the lexicon's arrays are missing or of the wrong type")
        if hashes.ndim != 1 or hashes.shape != idf.shape or bool(np.any(hashes[1:] <= hashes[:-1])):
            raise BundleError(
                "the lexicon's arrays don't fit each other",
                found=f"hashes {hashes.shape}, idf {idf.shape}",
                wanted="ascending hashes, one idf each",
            )
        return cls(hashes, idf)


def weigh_each(lexicons: Sequence[Lexicon], counts: Counts) -> SparseRows:
    """`Lexicon.weigh` of the same n rows by each of p lexicons: all rows (p * n) by the first, then by the next ones."""
    frequency = 1.0 + np.log(counts.count.astype(np.float64))
    step = max(1, _CELLS // max(1, len(counts.hash)))
    parts = [_known(lexicons[at : at + step], counts) for at in range(0, len(lexicons), step)]
    row = np.concatenate([part[0] + at * step * counts.n for at, part in enumerate(parts)])
    gram, column, idf = (np.concatenate(kept) for kept in list(zip(*parts, strict=True))[1:])
    value = frequency[gram] * idf.astype(np.float64)
    n = counts.n * len(lexicons)
    square = np.bincount(row, value * value, minlength=n)
    value /= np.sqrt(square)[row]
    indptr = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=n), out=indptr[1:])
    return SparseRows(indptr, column, value.astype(np.float32))


def _known(lexicons: Sequence[Lexicon], counts: Counts) -> tuple[Ints, Ints, Ints, NDArray[np.float16]]:
    """(row, place in counts, column, idf) of the n-grams that the lexicons know, lexicon by lexicon."""
    shape = (len(lexicons), len(counts.hash))
    at, hashes, idf = np.zeros(shape, np.int64), np.zeros(shape, np.uint32), np.zeros(shape, np.float16)
    known = np.zeros(shape, bool)
    for i, lexicon in enumerate(lexicons):
        if len(lexicon):
            at[i] = lexicon.hashes.searchsorted(counts.hash)
            # "clip" writes straight into its output; what lies behind the last hash differs from it
            lexicon.hashes.take(at[i], None, hashes[i], "clip")
            lexicon.idf.take(at[i], None, idf[i], "clip")
            known[i] = hashes[i] == counts.hash
    which, gram = known.nonzero()
    return counts.row[gram] + which * counts.n, gram, at[which, gram], idf[which, gram]
