"""What a question says about each part of its context: words that both have, near and far; likeness of vectors; shapes.

Shared by the heads that extract answers, and by the method that learns one."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trunkline.heads.rowwise import Matrix
from trunkline.heads.token_linear import Atoms, atoms_of, vectors_of
from trunkline.types import Ints, Tokens

NEAR = (3, 8, 20, 60)  # atoms on either side, over which words of the question are counted
STEM = 5  # letters of a word that are compared
ENDS = frozenset("。！？!?\n")
_SHAPES = (r"\d+", r"[\u3400-\u9fff]", r"[A-Z].*", r"[a-z].*", r"[\"'“‘「『《〈(（【]", r"[\"'”’」』》〉)）】]", r"[,，、;；:：]",
           r"[.。!！?？]", r"[年月日时時分秒岁歲世纪紀]", r"[个個名位人次元万萬亿億米里%％$]", r"[零一二三四五六七八九十百千两兩]")  # fmt: skip
_CUES = (r"谁|誰|哪位|何人|什么人|\bwho\b|\bwhom\b|\bwhose\b", r"什么时候|何时|何時|时间|哪一?年|几月|哪天|\bwhen\b|\byear\b|\bdate\b|\bday\b",
         r"多少|几|多[大长高久远]|\bhow (?:many|much|long|far|old)\b|\bpercent", r"哪里|哪裡|何处|何處|哪个?[国省市县城]|什么地方|\bwhere\b|\bcity\b|\bcountry\b",
         r"为什么|为何|原因|\bwhy\b", r"怎么|怎样|如何|\bhow\b", r"什么|何|\bwhat\b", r"哪|\bwhich\b", r"叫|名|\bname\b|\bcalled\b",
         r"哪些|哪几|分别|\bare\b|\bwere\b", r"职|作用|特点|影响|\btype\b|\bkind\b")  # fmt: skip
SHAPES, CUES = len(_SHAPES), len(_CUES)
_SHAPE = [re.compile(one) for one in _SHAPES]
_CUE = [re.compile(one, re.IGNORECASE) for one in _CUES]


class Text(NamedTuple):
    """A text in atoms: their keys, the sentence each is in (n,), shapes bool as float32 (n, SHAPES)."""

    atoms: Atoms
    keys: list[str]
    sentences: Ints
    shapes: Matrix


def read(text: str) -> Text:
    atoms = atoms_of(text)
    keys = [word.lower()[:STEM] if word.isascii() else word for word in atoms.words]
    shapes = np.array([[one.fullmatch(word) is not None for one in _SHAPE] for word in atoms.words], np.float32)
    return Text(atoms, keys, _sentences(text, atoms), shapes.reshape(len(keys), SHAPES))


def cues_of(question: str) -> Matrix:
    """float32 (CUES + 1,): what sort of question it is; the last one is always 1."""
    return np.array([*(one.search(question) is not None for one in _CUE), True], np.float32)


def rarity(keys: Sequence[str], rare: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) how rare each key is, from a hashed table."""
    return rare[[zlib.crc32(key.encode("utf-8", "replace")) % len(rare) for key in keys]] if keys else rare[:0]


def _sentences(text: str, atoms: Atoms) -> Ints:
    number, out, before = 0, [], 0
    for word, start, end in zip(atoms.words, atoms.starts.tolist(), atoms.ends.tolist(), strict=True):
        if "\n" in text[before:start]:
            number += 1
        out.append(number)
        if word in ENDS or (word == "." and text[end : end + 1] in ("", " ", "\n")):
            number += 1
        before = end
    return np.unique(np.array(out, np.int64), return_inverse=True)[1].astype(np.int64).reshape(-1)


def shared(context: Text, question: Text, rare: NDArray[np.float32]) -> tuple[Matrix, Matrix, Matrix]:
    """((n,) rarity of each atom that the question has too; (n,) of each pair of neighbours; (sentences,) share of the
    question's own words that each sentence holds), as shares of the question's rarity."""
    own = dict(zip(question.keys, rarity(question.keys, rare).tolist(), strict=True))
    whole = max(sum(own.values()), 1e-6)
    one = np.array([own.get(key, 0.0) for key in context.keys], np.float32) / np.float32(whole)
    pairs = set(zip(question.keys, question.keys[1:], strict=False))
    two = np.zeros_like(one)
    for i, pair in enumerate(zip(context.keys, context.keys[1:], strict=False)):
        if pair in pairs:
            two[i : i + 2] = np.maximum(two[i : i + 2], (own[pair[0]] + own[pair[1]]) / whole)
    held: list[set[str]] = [set() for _ in range(int(context.sentences.max(initial=-1)) + 1)]
    for key, sentence in zip(context.keys, context.sentences.tolist(), strict=True):
        if key in own:
            held[sentence].add(key)
    return one, two, np.array([sum(own[key] for key in sorted(keys)) / whole for keys in held], np.float32)


def about(context: Text, question: Text, units: Matrix, asked: Matrix, rare: NDArray[np.float32]) -> Matrix:
    """float32 (n, FEATURES) of each atom of the context. units (n, dim) and asked (q, dim): vectors of length 1."""
    n = len(context.keys)
    one, two, sentence = shared(context, question, rare)
    likes = units @ asked.T if len(asked) else np.zeros((n, 1), np.float32)
    most, mean = likes.max(axis=1), likes.mean(axis=1)
    by = context.sentences
    counts = np.bincount(by, minlength=1).astype(np.float32)
    likeness = np.bincount(by, mean, minlength=1).astype(np.float32) / np.maximum(counts, 1)
    before, after = np.append(0, sentence[:-1]), np.append(sentence[1:], 0)
    place = np.arange(n, dtype=np.float32)
    first = np.searchsorted(by, by)
    columns = [one, two, most, mean, sentence[by], sentence[by] - sentence.max(), (sentence[by] == sentence.max()) * 1.0,
               before[by], after[by], likeness[by], likeness[by] - likeness.max(), most - most.max(), (one > 0) * 1.0, place / max(n, 1),
               np.minimum(place - first, 20) / 20, np.minimum(first + counts[by] - 1 - place, 20) / 20]  # fmt: skip
    for signal in (one, two, most):
        for width in NEAR:
            columns += _beside(signal, width)
    return np.stack(columns, axis=1).astype(np.float32)


FEATURES = 16 + 3 * len(NEAR) * 2


def _beside(signal: Matrix, width: int) -> list[NDArray[np.float64]]:
    """[(n,) sums over `width` atoms before each, (n,) after each], less so for wide ones."""
    sums = np.concatenate([[0.0], np.cumsum(signal, dtype=np.float64)])
    at = np.arange(len(signal))
    low, high = np.maximum(at - width, 0), np.minimum(at + 1 + width, len(signal))
    return [(sums[at] - sums[low]) / width**0.5, (sums[high] - sums[at + 1]) / width**0.5]


def units_of(tokens: Tokens, atoms: Atoms, middle: Matrix, spread: Matrix) -> tuple[Matrix, Matrix]:
    """(float32 (atoms, dim) vectors less `middle` times `spread`; the same of length 1)."""
    vectors = (vectors_of(tokens, atoms, len(middle)) - middle) * spread
    lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    return vectors, np.asarray(vectors / np.maximum(lengths, 1e-6), np.float32)
