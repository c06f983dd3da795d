"""Answers that are parts of a text, judged by their words as the data sets' own scripts do.

English and other spaced scripts: SQuAD's rule (Rajpurkar et al. 2016): small letters, without punctuation and the articles
a, an, the; F1 of the bags of words. Where either side has a Chinese sign: CMRC 2018's rule (Cui et al. 2019): without its
list of marks, Chinese sign by sign, other parts word by word; F1 by the longest run that both have in common. Of several
right answers the best counts. No answer is right where none is, and worth nothing elsewhere.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from trunkline.metrics.spans import Spans
from trunkline.metrics.weighting import Array, Figure, Weights, mean_of

_CHINESE = re.compile(r"[\u3400-\u9fff]")
_MARKS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")  # of CMRC's script
_PART = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+|[^\w\s]")
_ARTICLE = re.compile(r"\b(a|an|the)\b")


def answer_exact_rows(target: Spans, values: Spans) -> Array:
    """(n,) 1 where the answer said is one of the right ones, or none is said where there is none."""
    return _rows(target, values, lambda true, said: float(_plain(true, said) == _plain(said, true)))


def answer_f1_rows(target: Spans, values: Spans) -> Array:
    """(n,) F1 of the words of the answer said and of the right one that it comes nearest to."""
    return _rows(target, values, f1)


def answer_exact(target: Spans, values: Spans, weights: Weights = None) -> Figure:
    return mean_of(answer_exact_rows(target, values), weights)


def answer_f1(target: Spans, values: Spans, weights: Weights = None) -> Figure:
    return mean_of(answer_f1_rows(target, values), weights)


@lru_cache(maxsize=50_000)
def f1(true: str, said: str) -> float:
    """Of two answers, neither of them empty."""
    if _CHINESE.search(true) or _CHINESE.search(said):
        a, b = (_PART.findall(_plain(one, "汉")) for one in (true, said))
        common = _run(a, b)
    else:
        a, b = (_plain(one, "").split() for one in (true, said))
        common = sum((Counter(a) & Counter(b)).values())
    if not a or not b:
        return float(a == b)
    return 2 * common / (len(a) + len(b))


def _plain(text: str, other: str) -> str:
    """A text as it is compared with another."""
    if _CHINESE.search(text) or _CHINESE.search(other):
        return "".join(sign for sign in text.lower().strip() if sign not in _MARKS)
    bare = "".join(sign for sign in text.lower() if sign not in string.punctuation)
    return " ".join(_ARTICLE.sub(" ", bare).split())


def _run(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest run of parts that stands in both."""
    best, row = 0, [0] * (len(b) + 1)
    for one in a:
        row = [0, *(row[j] + 1 if one == other else 0 for j, other in enumerate(b))]
        best = max(best, *row)
    return best


def _rows(target: Spans, values: Spans, worth: Callable[[str, str], float]) -> Array:
    out = np.zeros(len(target))
    for at, (right, said) in enumerate(zip(target, values, strict=True)):
        text: Any = said[0].text if len(said) else ""
        if right and text:
            out[at] = max(worth(one.text, text) for one in right)
        else:
            out[at] = float(not right and not text)
    return out
