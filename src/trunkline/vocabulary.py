"""Texts as numbers, for networks that a product learns from scratch: words, and Chinese or Japanese characters.

Serving-safe: numpy only. Training and serving use this same code.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.lexical import normalise
from trunkline.types import Ints

PADDING, UNKNOWN = 0, 1  # a network's mask is `ids != PADDING`; no text has that id
FIRST = 2  # id of the first word
_CJK = "\u3040-\u9fff\U00020000-\U0003ffff"  # as in `lexical`
_TOKEN = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+|[^\w\s]")


def tokens_of(text: str) -> list[str]:
    """Words, single Chinese or Japanese characters and marks, of the text as `lexical.normalise` leaves it."""
    return _TOKEN.findall(normalise(text))


class Vocabulary:
    """Words by their ids: `words[i]` has FIRST + i, all others UNKNOWN."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(words)
        self._ids = {word: FIRST + i for i, word in enumerate(self.words)}

    def __len__(self) -> int:
        """Ids, padding and unknown included."""
        return FIRST + len(self.words)

    @classmethod
    def fit(cls, texts: Iterable[str], most: int, at_least: int = 2) -> Self:
        """The `most` frequent words that occur `at_least` so often; ties by the alphabet."""
        counts = Counter(word for text in texts for word in tokens_of(text))
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return cls(word for word, count in ranked[:most] if count >= at_least)

    def ids(self, text: str, longest: int) -> Ints:
        """int64 (k,), 1 <= k <= longest: never empty, and never padded."""
        known = [self._ids.get(word, UNKNOWN) for word in tokens_of(text)[:longest]]
        return np.array(known or [UNKNOWN], np.int64)

    def save(self) -> NDArray[np.uint8]:
        """The words, a line each; no word holds a line's end."""
        return np.frombuffer("\n".join(self.words).encode(), np.uint8)

    @classmethod
    def load(cls, saved: NDArray[Any]) -> Self:
        """Raises BundleError where that isn't what `save` gave."""
        try:
            words = bytes(saved).decode().split("\n") if saved.size else []
        except UnicodeDecodeError:
            words = [""]
        if saved.dtype != np.uint8 or saved.ndim != 1 or not all(words) or len(set(words)) < len(words):
            raise BundleError("a head's vocabulary can't be read", found=f"{saved.dtype} {saved.shape}")
        return cls(words)
