"""From scores to probabilities, each row by itself: bit-equal whatever the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError

LINKS = ("logistic", "softmax", "labels", "identity")


def apply_link(link: str, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Prediction.values of scores (n, k).

    logistic: k = 1, the second of two classes; softmax: k classes; labels: k independent labels;
    identity: k = 1, a number, given as (n,).
    """
    if link == "identity":
        return scores[:, 0]
    if link == "softmax":
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float64)
    tail = np.exp(-np.abs(scores))
    high, low = 1 / (1 + tail), tail / (1 + tail)
    positive = np.where(scores >= 0, high, low)
    if link == "labels":
        return positive
    return np.concatenate([np.where(scores >= 0, low, high), positive], axis=1)


def known_link(link: Any, outputs: int) -> str:
    """`link` if it fits `outputs` scores a row. Raises BundleError."""
    if link not in LINKS or outputs < 1 or (link in ("logistic", "identity") and outputs != 1):
        raise BundleError(
            "a head's link is not valid", found=f"{link!r} of {outputs} scores", wanted=" | ".join(LINKS)
        )
    return str(link)
