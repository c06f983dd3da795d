"""Near-duplicate texts: MinHash signatures and banding find pairs, exact Jaccard confirms them.

Broder, "On the resemblance and containment of documents" (1997); banding as in Leskovec, Rajaraman,
Ullman, "Mining of Massive Datasets", chapter 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trunkline.data.normal import letters

SIMILAR = 0.9  # Jaccard similarity of the sets of letter 3-grams from which texts count as the same
_GRAM = 3
_BANDS, _ROWS = 8, 4  # a pair of similarity .9 is missed with probability (1 - .9^4)^8 = 2e-4
_LONGEST, _SHORTEST = 2_000, 100  # letters compared of a text: fewer where there are very many texts
_BUDGET = 12_000_000  # letters in memory at once; each costs about 60 bytes
_CROWD = 32  # a bucket with more rows is linked as a star: all pairs would be quadratic
_CHUNK = 400_000  # grams confirmed at once

Pairs = NDArray[np.int64]  # (pairs, 2), first < second


def near_pairs(texts: Sequence[str]) -> tuple[Pairs, NDArray[np.float64]]:
    """(pairs of row numbers, their similarity) for texts at least SIMILAR; equal texts included.

    Texts are compared by letters and digits only, the first 2,000 of them (down to 100 where all
    together pass 12 million). In crowds of over 32 likely copies each row is compared with the first
    one instead of with all.
    """
    if len(texts) < 2:
        return np.empty((0, 2), np.int64), np.empty(0)
    compared = [letters(text)[:_LONGEST] for text in texts]
    if sum(map(len, compared)) > _BUDGET:
        longest = max(_SHORTEST, _BUDGET // len(texts))
        compared = [text[:longest] for text in compared]
    grams, starts = _grams(compared)
    pairs = _candidates(_signatures(grams, starts))
    return _confirmed(pairs, grams, starts)


def _grams(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """(hashes of each text's distinct 3-grams, sorted within the text; start of each text, n + 1)."""
    padded = [f" {text} ".ljust(_GRAM) for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    lengths = np.array([len(text) for text in padded])
    counts = lengths - _GRAM + 1
    owner = np.repeat(np.arange(len(texts)), counts)
    inside = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    at = np.repeat(np.cumsum(lengths) - lengths, counts) + inside
    packed = codes[at]
    for step in range(1, _GRAM):
        packed = (packed << np.uint64(21)) | codes[at + step]  # a code point has 21 bits: no collisions
    order = np.lexsort((packed, owner))
    packed, owner = packed[order], owner[order]
    fresh = np.ones(len(packed), bool)
    fresh[1:] = (packed[1:] != packed[:-1]) | (owner[1:] != owner[:-1])
    starts = np.concatenate([[0], np.cumsum(np.bincount(owner[fresh], minlength=len(texts)))])
    return packed[fresh], starts.astype(np.int64)


def _signatures(grams: NDArray[np.uint64], starts: NDArray[np.int64]) -> NDArray[np.uint32]:
    """MinHash signatures (n, bands * rows)."""
    random = np.random.default_rng(0)  # fixed: which texts are near must not depend on a product's seed
    mixed = grams * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    out = np.empty((len(starts) - 1, _BANDS * _ROWS), np.uint32)
    for column in range(out.shape[1]):
        factor = np.uint64(random.integers(1, 2**63)) * np.uint64(2) + np.uint64(1)
        hashed = ((mixed * factor) >> np.uint64(32)).astype(np.uint32)
        out[:, column] = np.minimum.reduceat(hashed, starts[:-1])
    return out


def _candidates(signatures: NDArray[np.uint32]) -> Pairs:
    """Pairs that agree in a whole band, each once."""
    n = len(signatures)
    found = []
    for band in range(_BANDS):
        part = np.ascontiguousarray(signatures[:, band * _ROWS : (band + 1) * _ROWS])
        order = np.lexsort(part.T)
        ordered = part[order]
        new = np.ones(n, bool)
        new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        first = np.flatnonzero(new)
        size = np.diff(np.append(first, n))
        for crowd in np.unique(size[size > 1]):
            members = order[first[size == crowd][:, None] + np.arange(crowd)[None, :]]
            found.append(_linked(np.sort(members, axis=1)))
    if not found:
        return np.empty((0, 2), np.int64)
    flat = np.unique(np.concatenate([pairs[:, 0] * n + pairs[:, 1] for pairs in found]))
    return np.stack([flat // n, flat % n], axis=1)


def _linked(members: NDArray[np.int64]) -> Pairs:
    """All pairs of each bucket (buckets, size), or first-with-each in crowds."""
    size = members.shape[1]
    left, right = np.triu_indices(size, 1) if size <= _CROWD else (np.zeros(size - 1, int), np.arange(1, size))
    return np.stack([members[:, left].ravel(), members[:, right].ravel()], axis=1)


def _confirmed(
    pairs: Pairs, grams: NDArray[np.uint64], starts: NDArray[np.int64]
) -> tuple[Pairs, NDArray[np.float64]]:
    sizes = np.diff(starts)
    if len(pairs):  # sets of very unlike sizes can't be similar
        small, large = np.sort(sizes[pairs], axis=1).T
        pairs = pairs[small >= SIMILAR * large]
    similar = np.empty(len(pairs))
    both = sizes[pairs].sum(axis=1)
    chunk = np.cumsum(both) // _CHUNK
    for number in np.unique(chunk):
        at = np.flatnonzero(chunk == number)
        similar[at] = _jaccard(pairs[at], grams, starts)
    keep = similar >= SIMILAR
    return pairs[keep], similar[keep]


def _jaccard(pairs: Pairs, grams: NDArray[np.uint64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each side's grams are distinct, so a gram seen twice within a pair is shared."""
    sides = pairs.ravel()
    sizes = np.diff(starts)[sides]
    offset = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    values = grams[np.repeat(starts[sides], sizes) + offset]
    owner = np.repeat(np.repeat(np.arange(len(pairs)), 2), sizes)
    order = np.lexsort((values, owner))
    values, owner = values[order], owner[order]
    shared = (values[1:] == values[:-1]) & (owner[1:] == owner[:-1])
    common = np.bincount(owner[1:][shared], minlength=len(pairs))
    total = sizes.reshape(-1, 2).sum(axis=1)
    return np.asarray(common / (total - common), np.float64)
