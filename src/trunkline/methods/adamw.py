"""AdamW in numpy, for heads that learn on frozen token vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FIRST, SECOND, TINY = 0.1, 0.01, 1e-6  # what a step adds to the means; what keeps the division finite


class AdamW:
    """Moves float32 arrays in place (Loshchilov & Hutter 2019), at a rate that falls to 0 over `steps` as a cosine."""

    def __init__(self, parts: Sequence[NDArray[np.float32]], steps: int, rate: float, decay: float) -> None:
        self.parts, self.steps, self.rate, self.decay = parts, steps, rate, decay
        self._first, self._second = ([np.zeros_like(part) for part in parts] for _ in range(2))
        self._step = 0

    def step(self, slopes: Sequence[NDArray[np.float32]]) -> None:
        """slopes: of the parts, in their order."""
        self._step += 1
        step = self._step
        rate = np.float32(self.rate * 0.5 * (1 + np.cos(np.pi * step / self.steps)))
        for part, slope, m, v in zip(self.parts, slopes, self._first, self._second, strict=True):
            m += np.float32(FIRST) * (slope - m)
            v += np.float32(SECOND) * (slope * slope - v)
            scaled = m / np.float32(1 - 0.9**step) / (np.sqrt(v / np.float32(1 - 0.99**step)) + np.float32(TINY))
            part -= rate * (scaled + np.float32(self.decay) * part)
