"""How sure a span is: its score, made to say how often spans of such a score are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.types import Span

TEMPERATURES = np.exp(np.linspace(np.log(0.1), np.log(10), 93))  # about 5 % apart
EDGE = 1e-6  # from 0 and 1: no span is beyond doubt
FEWEST = 50  # spans, under which scores stay as they are


def temperature_of(scores: NDArray[Any], right: NDArray[Any]) -> float:
    """Of least log loss of `right` (n,) bool under scores (n,) warmed by it (Guo et al. 2017); 1 for few, or where
    all or none are right."""
    hits = right.astype(np.float64)
    if len(scores) < FEWEST or hits.min() == hits.max():
        return 1.0
    losses = [_loss(warmed(scores, temperature), hits) for temperature in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def warmed(scores: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """Scores by their log odds over the temperature; their order stays."""
    held = np.clip(scores.astype(np.float64), EDGE, 1 - EDGE)
    return np.asarray(1 / (1 + ((1 - held) / held) ** (1 / temperature)))


def rescored(spans: Sequence[Span], temperature: float) -> list[Span]:
    if temperature == 1.0 or not spans:
        return list(spans)
    scores = warmed(np.array([span.score for span in spans]), temperature)
    return [span._replace(score=score) for span, score in zip(spans, scores.tolist(), strict=True)]


def _loss(scores: NDArray[np.float64], hits: NDArray[np.float64]) -> float:
    scores = np.clip(scores, EDGE, 1 - EDGE)
    return float(-np.mean(hits * np.log(scores) + (1 - hits) * np.log1p(-scores)))
