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
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.types import Arrays, Ints

MAX_CHARS = 20_000  # of one text; what lies behind isn't read, so that one text can't take minutes
_CHAR_N = (3, 4)
_CJK_N = (1, 3)
_SHORT = 2_000  # characters of a row whose n-grams are remembered
_RUN = 40  # characters of a run without spaces that may come again
_CHUNK = 4_000_000  # characters hashed at once: bounds memory, never the result

_SPACE = 32
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_WORD_SALT = np.uint64(0xD1B54A32D192ED03)
_PAIR_SALT = np.uint64(0x8CB92BA72F3D8DD7)
_MIXING = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
_MIXED, _HALF = np.uint64(31), np.uint64(32)
_ASCII_WORD = np.array([chr(code).isalnum() for code in range(128)])

Hashes = NDArray[np.uint32]


@dataclass(frozen=True)
class Counts:
    """How often each n-gram stands in each row: parallel arrays, ordered by row, then hash."""

    row: Ints
    hash: Hashes
    count: NDArray[np.int64]
    n: int  # rows, those without any n-gram included

    @cached_property
    def frequency(self) -> NDArray[np.float64]:
        """1 + log count."""
        return 1.0 + np.log(self.count.astype(np.float64))


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
    if not (parts := list(_parts(texts, n))):
        return Counts(np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0, np.int64), n)
    row, name, count = map(_joined, zip(*parts, strict=True))
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
    mixed = _joined([_mix(_raw(text) + _seed(salt)) for salt, text in enumerate(texts)])
    unique, count = np.unique(mixed, return_counts=True)
    return Counts(np.zeros(len(unique), np.int64), unique.astype(np.uint32), count.astype(np.int64, copy=False), 1)


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
    text = _Characters.of(f" {run} ")
    return _joined([value for _, value in _char_ngrams(text)]), _words(text)[1]


def _parts(texts: Sequence[Sequence[str]], n: int) -> Iterator[tuple[Ints, Hashes, Ints]]:
    """Unique (row, hash) pairs with counts, a slice of rows at a time."""
    cleaned = [[normalise(text) for text in column] for column in texts]
    for start, stop in _slices(cleaned, n):
        pairs = _joined([_pairs(column[start:stop], salt) for salt, column in enumerate(cleaned)])
        unique, count = np.unique(pairs, return_counts=True)
        if len(unique):
            row = (unique >> _HALF).astype(np.int64) + start
            yield row, unique.astype(np.uint32), count.astype(np.int64, copy=False)


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
    text = _Characters.of("".join(f" {text} " for text in texts))
    row = np.repeat(np.arange(len(texts), dtype=np.uint64), [len(text) + 2 for text in texts])
    at, value = map(_joined, zip(*_char_ngrams(text), *_word_ngrams(text, row), strict=True))
    return np.asarray((row[at] << _HALF) | _mix(value + _seed(salt)))


def _seed(salt: int) -> np.uint64:
    """What keeps n-grams of different text columns apart."""
    return np.uint64(salt * 0x2545F491)


class _Characters(NamedTuple):
    """The characters of texts with a space around each: what they are. cjk: Chinese or Japanese; None if none is."""

    codes: NDArray[np.uint64]
    space: NDArray[np.bool_]
    word: NDArray[np.bool_]  # letters and digits that aren't cjk
    cjk: NDArray[np.bool_] | None

    @classmethod
    def of(cls, text: str) -> Self:
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        space, wide = codes == _SPACE, codes.astype(np.uint64)
        if text.isascii():
            return cls(wide, space, _ASCII_WORD[codes], None)
        cjk = ((codes >= 0x3040) & (codes <= 0x9FFF)) | ((codes >= 0x20000) & (codes <= 0x3FFFF))
        return cls(wide, space, np.strings.isalnum(codes.view("<U1")) & ~cjk, cjk)


def _char_ngrams(text: _Characters) -> Iterator[tuple[Ints, NDArray[np.uint64]]]:
    """(start, raw hash) of each character n-gram: spaces only at its ends, so never across words. At least one pair,
    though it be of nothing."""
    value, space, cjk = text.codes, text.space, text.cjk
    holds_cjk = np.zeros(0, bool) if cjk is None else cjk
    inner = np.zeros(len(value), bool)  # a space strictly inside
    at = holds_cjk.nonzero()[0]
    yield at, value[at]
    for n in range(2, _CHAR_N[1] + 1):
        size = len(text.codes) - n + 1
        if size <= 0:
            return
        value = value[:size] * _PRIME + text.codes[n - 1 :]
        if n > 2:
            inner = inner[:size] | space[n - 2 : n - 2 + size]
        if cjk is None and n < _CHAR_N[0]:
            continue
        good = ~inner[:size]
        if cjk is not None:
            holds_cjk = holds_cjk[:size] | cjk[n - 1 :]
            if n == 2:
                good &= ~(space[:size] & space[1:])  # between two texts
            if not _CHAR_N[0] <= n <= _CJK_N[1]:
                good &= holds_cjk if n < _CHAR_N[0] else ~holds_cjk
        at = good.nonzero()[0]
        yield at, value[at]


def _word_ngrams(text: _Characters, row: NDArray[np.uint64]) -> Iterator[tuple[Ints, NDArray[np.uint64]]]:
    """(start, raw hash) of each word, and of each pair of neighbouring words of one row."""
    starts, values = _words(text)
    yield starts, values ^ _WORD_SALT
    pair = row[starts[:-1]] == row[starts[1:]]
    yield starts[:-1][pair], ((values[:-1] * _PRIME + values[1:]) ^ _PAIR_SALT)[pair]


def _words(text: _Characters) -> tuple[Ints, NDArray[np.uint64]]:
    """(start, raw hash) of each word, before its salt."""
    word = text.word
    starts = (word[1:] > word[:-1]).nonzero()[0] + 1
    lengths = (word[1:] < word[:-1]).nonzero()[0] + 1 - starts
    at = word.nonzero()[0]
    first = lengths.cumsum() - lengths  # in `at`: where words begin
    powers = np.multiply.accumulate(np.full(lengths.max(initial=0), _PRIME, np.uint64))
    return starts, np.add.reduceat(text.codes[at] * powers[at - starts.repeat(lengths)], first)


def occurrences(text: str, salt: int) -> tuple[Ints, Ints, Hashes]:
    """Where each n-gram of a normalised text stands: signs [starts, ends) of the text, and its hash. salt: the number
    of the text column. What `count_ngrams` counts, one by one."""
    signs = _Characters.of(f" {text} ")
    sizes = (1, *range(_CHAR_N[0] if signs.cjk is None else 2, _CHAR_N[1] + 1))
    parts = [(at, at + size, value) for size, (at, value) in zip(sizes, _char_ngrams(signs), strict=False)]
    (words, one), (pairs, two) = _word_ngrams(signs, np.zeros(len(signs.codes), np.uint64))
    ends = (signs.word[1:] < signs.word[:-1]).nonzero()[0] + 1
    parts += [(words, ends, one), (pairs, ends[1:], two)]
    starts, stops, values = map(_joined, zip(*parts, strict=True))
    inner = np.clip(np.stack([starts, stops]) - 1, 0, len(text))  # without the space on either side
    return inner[0], inner[1], _mix(values + _seed(salt)).astype(np.uint32)


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The top 32 bits of splitmix64's finaliser (Steele, Lea, Flood 2014)."""
    for shift, factor in _MIXING:
        value = (value ^ (value >> shift)) * factor
    return (value ^ (value >> _MIXED)) >> _HALF


@dataclass(frozen=True)
class Lexicon:
    """A vocabulary of n-gram hashes with their inverse document frequencies.

    hashes: (features,) uint32, ascending, distinct. idf: (features,) float16, above 0.
    """

    hashes: Hashes
    idf: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.hashes)

    def find(self, hashes: Hashes) -> tuple[Ints, Ints]:
        """Of those that are here: (places in `hashes`, ascending; their columns)."""
        at = self.hashes.searchsorted(hashes)
        if not len(self):
            return at[:0], at[:0]
        # what lies behind the last hash is compared with that, and differs
        known = (self.hashes.take(at, mode="clip") == hashes).nonzero()[0]
        return known, at[known]

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
    found = [lexicon.find(counts.hash) for lexicon in lexicons]
    idf = _joined([lexicon.idf[column] for lexicon, (_, column) in zip(lexicons, found, strict=True)])
    gram, column = map(_joined, zip(*found, strict=True))
    row, n = counts.row[gram], counts.n * len(lexicons)
    if len(found) > 1:
        row += np.repeat(np.arange(len(found)) * counts.n, [len(known) for known, _ in found])
    value = counts.frequency[gram] * idf.astype(np.float64)
    value /= np.sqrt(np.bincount(row, value * value, n))[row]
    indptr = np.zeros(n + 1, np.int64)
    np.bincount(row, None, n).cumsum(out=indptr[1:])
    return SparseRows(indptr, column, value.astype(np.float32))


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
