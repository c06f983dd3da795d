"""Linear heads of any shape, made of random numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.heads.dense import Dense, Landmarks
from trunkline.heads.linear import DensePart, LexicalPart, LinearHead
from trunkline.lexical import Lexicon, count_ngrams

WORDS = ["my", "card", "has", "not", "arrived", "我的卡还没到", "why", "this", "fee"]


def linear_head(
    seed: int,
    outputs: int,
    *,
    dim: int = 48,
    link: str | None = None,
    parts: str = "dense+marks+lexical",
    columns: Sequence[str] = ("text",),
    engine: str = "trunk:t",
) -> LinearHead:
    """Heads of different seeds know different n-grams, now and then none at all."""
    rng = np.random.default_rng(seed)
    link = link or ("logistic" if outputs == 1 else "softmax")
    bias = rng.normal(size=outputs).astype(np.float32)
    dense = lexical = None
    if "dense" in parts:
        width = dim * len(columns)
        marks = Landmarks.of(rng.normal(size=width).astype(np.float32), rng.normal(size=(max(2, outputs), width))) if "marks" in parts else None
        weights = rng.normal(size=(width, outputs)).astype(np.float16).astype(np.float32)
        dense = DensePart(Dense.of_texts(engine, tuple(columns)), weights, rng.random(outputs).astype(np.float32), marks)
    if "lexical" in parts:
        known = [word for word in WORDS if rng.random() < 0.6]
        hashes = np.unique(count_ngrams([[f"{word} {seed}" for word in known]] * len(columns)).hash) if known else np.zeros(0, np.uint32)
        lexicon = Lexicon(hashes, (1 + rng.random(len(hashes))).astype(np.float16))
        weights8 = rng.integers(-127, 128, (len(hashes), outputs)).astype(np.int8)
        scale = (rng.random(outputs) / 100).astype(np.float32)
        lexical = LexicalPart(tuple(columns), lexicon, weights8, scale)
    return LinearHead(link, bias, dense, lexical)
