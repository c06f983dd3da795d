"""Bootstrap draws as weights: how often each row was drawn, shared by every figure of a report.

Rows are drawn alone, with their whole group, or in moving blocks where they have a time.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.types import Floats, Metric

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
DRAWS = 2_000
FEWEST = 300  # draws for very large rows x classes, where intervals are narrow anyway
CELLS = 8_000_000  # draws x rows held at once
WORK = 200_000_000  # draws x rows x classes one figure may cost
JACKKNIFE = 100  # leave-out parts for the acceleration of BCa


class Resample:
    """Draws of n rows. Constructing is free; the same seed gives the same draws."""

    def __init__(
        self,
        n: int,
        groups: Sequence[Any] | None = None,
        times: Sequence[float] | None = None,
        seed: int = 0,
    ) -> None:
        self.n, self.seed = n, seed
        self._lock = threading.Lock()
        self.groups = None if groups is None else np.unique(np.asarray(groups, str), return_inverse=True)[1]
        self.order = None
        if groups is None and times is not None and n:
            self.order = np.argsort(np.asarray(times, np.float64), kind="stable")

    @property
    def block(self) -> int:
        """Length of a block: the cube root of n (Buehlmann & Kuensch 1999)."""
        return max(1, round(math.cbrt(self.n)))

    @cached_property
    def units(self) -> Ints | None:
        """(n,) number of the independent part a row belongs to; None where rows are independent."""
        if self.groups is not None:
            return self.groups
        if self.order is None:
            return None
        units = np.empty(self.n, np.int64)
        units[self.order] = np.arange(self.n) // self.block
        return units

    @property
    def independent(self) -> int:
        return self.n if self.units is None else int(self.units.max()) + 1 if self.n else 0

    def draws_for(self, width: int) -> int:
        """How many draws a figure over n rows and `width` columns gets: by size, never by clock."""
        return int(min(DRAWS, max(FEWEST, WORK // max(1, self.n * width))))

    def weights(self, draws: int) -> Iterator[Array]:
        """(some, n) at a time, `draws` in all; a smaller number of draws is a prefix of a larger."""
        step = max(1, CELLS // max(1, self.n))
        if step >= DRAWS:
            with self._lock:  # draw once, although figures share the pool
                every = self._all
            yield every[:draws]
            return
        rng = np.random.default_rng(self.seed)
        for start in range(0, draws, step):
            yield self._draw(rng, min(step, draws - start))

    @cached_property
    def _all(self) -> Array:
        return self._draw(np.random.default_rng(self.seed), DRAWS)

    def _draw(self, rng: np.random.Generator, draws: int) -> Array:
        if self.groups is not None:
            return np.asarray(_counts(rng, draws, self.independent)[:, self.groups])
        if self.order is not None:
            return self._blocks(rng, draws)
        return _counts(rng, draws, self.n)

    def _blocks(self, rng: np.random.Generator, draws: int) -> Array:
        """Circular moving blocks (Politis & Romano 1992) over the rows in time order."""
        n, length = self.n, self.block
        starts = rng.integers(0, n, (draws, -(-n // length)))
        at = (starts[:, :, None] + np.arange(length)).reshape(draws, -1)[:, :n] % n
        out = np.empty((draws, n))
        out[:, self.order] = _tally(at, n)
        return out

    def stratified(self, target: NDArray[Any], draws: int) -> Array:
        """(draws, n) in which every class keeps its number of rows: for figures that need all."""
        rng = np.random.default_rng([self.seed, 1])
        out = np.empty((draws, self.n))
        for label in np.unique(target):
            members = np.flatnonzero(target == label)
            out[:, members] = _counts(rng, draws, len(members))
        return out

    def leave_out(self) -> Array:
        """(parts, n) weights with one part of the independent units left out each."""
        units = np.arange(self.n) if self.units is None else self.units
        part = np.random.default_rng([self.seed, 2]).permutation(max(1, self.independent))[units]
        parts = min(JACKKNIFE, self.independent)
        return np.asarray(part % parts != np.arange(parts)[:, None], np.float64)


def _counts(rng: np.random.Generator, draws: int, n: int) -> Array:
    return _tally(rng.integers(0, n, (draws, n)), n)


def _tally(at: Ints, n: int) -> Array:
    flat = at + np.arange(len(at))[:, None] * n
    counts = np.bincount(flat.ravel(), minlength=len(at) * n).reshape(len(at), n)
    return np.asarray(counts, np.float64)


def figures(metric: Metric, target: NDArray[Any], values: Floats, weights: Array) -> Array:
    """(draws,) the metric under each row of weights, by its fastest form."""
    if metric.per_row is not None:
        total = weights.sum(axis=1)
        out: Array = (weights @ np.asarray(metric.per_row(target, values), np.float64)) / total
        return out
    if metric.weighted is not None:
        return np.asarray(metric.weighted(target, values, weights), np.float64)
    rows = np.arange(len(target))
    drawn = (np.repeat(rows, w.astype(np.int64)) for w in weights)
    return np.array([metric.of(target[at], values[at]) for at in drawn], np.float64)
