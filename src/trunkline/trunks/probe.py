"""Two sentences whose vectors are known: does the trunk give here what it gave where it was proven?

A runtime may take another road on another processor, silently. Bundles pin a fingerprint, so a
machine that would answer otherwise must say so at load, before any customer's row.
"""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.text import TextEngine
from trunkline.errors import TrunkError
from trunkline.trunks.probes import PROBES
from trunkline.types import Call

TEXTS = ("My card still hasn't arrived, what can I do?", "房间很干净，早餐也不错，下次还会来住。")
WANTED = 0.99995  # cosine; another precision of the same weights gives 0.9996, another kernel 0.99999


def agrees(engine: TextEngine) -> None:
    """Raises TrunkError if the vectors of TEXTS aren't the ones known for this precision."""
    known = PROBES.get((engine.card.id.partition("@")[0], engine.card.precision))
    if known is None:
        return
    try:
        found = engine.run(Call(f"trunk:{engine.card.id}", TEXTS))
    except (RuntimeError, ValueError) as error:  # kernels missing on this processor
        raise _unfit(engine, str(error).strip().splitlines()[-1][:160]) from error
    cosine = _cosine(found, decode(known))
    if not cosine >= WANTED:  # nan too
        raise _unfit(engine, f"cosine {cosine:.5f}")


def _unfit(engine: TextEngine, found: str) -> TrunkError:
    return TrunkError(
        f"{engine.card.id} gives other vectors on this processor than where it was proven",
        found=found,
        wanted=f"a cosine of at least {WANTED}",
        hint='name another trunk, [trunks] text = "e5-small-f32"',
    )


def encode(vectors: NDArray[np.float32]) -> str:
    return base64.b64encode(np.asarray(vectors, "<f2").tobytes()).decode("ascii")


def decode(text: str) -> NDArray[np.float32]:
    flat = np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32)
    return flat.reshape(len(TEXTS), -1)


def _cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    if a.shape != b.shape:
        return float("nan")
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.min((a * b).sum(axis=1) / norms))
