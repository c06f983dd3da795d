"""A tiny encoder for tests and drafts: hashed words and character pairs, no files, no model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import TrunklineError, nearest
from trunkline.trunks.cache import fingerprint
from trunkline.types import Call, EngineCard, Refused, Tokens

DIM = 64
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+|[^\w\s]")


class HashTrunk:
    """A `Trunk` that is its own engine: texts that share words and sign pairs lie close."""

    def __init__(self) -> None:
        self.card = EngineCard(
            id="hash",
            fingerprint=fingerprint({"weights": "blake2b", "dim": DIM, "recipe": 2}),
            kind="text",
            forms=("pooled", "tokens"),
            dim=DIM,
            licence="Apache-2.0",
            source="computed; for tests only",
            languages=("zh", "en"),
            precision="f32",
            runtime="numpy",
        )

    def available(self) -> Refused | None:
        return None

    def load(self) -> HashTrunk:
        return self

    def cost(self, item: str) -> int:
        return 1 + len(item)

    def run(self, call: Call) -> Any:
        """`pooled`: float32 (n, 64), length 1. `tokens`: a `Tokens` a text, of its words."""
        if call.form == "pooled":
            rows = [_unit(_parts(text).sum(axis=0)) for text in call.items]
            return np.stack(rows) if rows else np.empty((0, DIM), np.float32)
        if call.form == "tokens":
            return [_tokens(text) for text in call.items]
        raise TrunklineError(
            f"the trunk 'hash' has no form {call.form!r}", hint=nearest(call.form, self.card.forms)
        )

    def stream(self, call: Call) -> Iterator[Any]:
        yield self.run(call)


def _tokens(text: str) -> Tokens:
    """Each word, Chinese sign or punctuation mark by itself."""
    found = list(_WORD.finditer(text))
    rows = [_vector(match[0].lower()) for match in found]
    vectors = np.stack(rows) if rows else np.empty((0, DIM), np.float32)
    starts, ends = ([edge(match) for match in found] for edge in (re.Match.start, re.Match.end))
    return Tokens(vectors, np.array(starts, np.int32), np.array(ends, np.int32))


def _parts(text: str) -> NDArray[np.float32]:
    low = text.lower()
    parts = low.split() + [low[i : i + 2] for i in range(len(low) - 1)] or [low]
    return np.stack([_vector(part) for part in parts])


def _vector(part: str) -> NDArray[np.float32]:
    bits = np.frombuffer(blake2b(part.encode("utf-8", "replace"), digest_size=DIM // 8).digest(), np.uint8)
    return np.unpackbits(bits).astype(np.float32) * 2 - 1


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.sqrt(vector @ vector))
    return vector / np.float32(length) if length else vector
