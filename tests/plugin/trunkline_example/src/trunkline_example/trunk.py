"""A trunk: counts of letter pairs, hashed. It has no weights, so it is always on this machine."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from trunkline.types import Call, EngineCard, Floats, Refused, Value

CARD = EngineCard(
    id="letters",
    fingerprint=hashlib.sha256(b"letters 1: crc32 of letter pairs mod 64, unit length").hexdigest(),
    kind="text",
    forms=("pooled",),
    dim=64,
    licence="Apache-2.0",
    source="computed, no weights",
    languages=("en", "zh"),
    precision="float32",
    runtime="numpy",
)


class LettersEngine:
    """Each item alone decides its vector, so a batch changes nothing."""

    card = CARD

    def cost(self, item: Value) -> int:
        return 1 + len(item)

    def run(self, call: Call) -> Floats:
        return np.stack([_vector(item) for item in call.items]) if call.items else np.zeros((0, CARD.dim), np.float32)

    def stream(self, call: Call) -> Iterator[Any]:
        yield self.run(call)


class Letters:
    card = CARD

    def available(self) -> Refused | None:
        return None

    def load(self) -> LettersEngine:
        return LettersEngine()


def _vector(text: str) -> Floats:
    counts = np.zeros(CARD.dim, np.float32)
    padded = f" {text.casefold()} "
    for at in range(len(padded) - 1):
        counts[zlib.crc32(padded[at : at + 2].encode()) % CARD.dim] += 1
    return counts / np.linalg.norm(counts)
