"""An encoder of pictures or sounds in memory: each item by itself, side by side over the cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.asked import check_asked
from trunkline.engines.threads import run_all
from trunkline.types import Call, EngineCard, Places, Value

COST = 256  # as much work as a long text


class SingleEngine:
    """An `Engine`; form `pooled`, float32 (n, dim). An item's vector depends on it alone: none shares a batch.

    pooled: item -> float32 (dim,); places: for the form of that name; both thread-safe.
    """

    def __init__(
        self, card: EngineCard, pooled: Callable[[Value], NDArray[np.float32]], places: Callable[[Value], Places] | None = None
    ) -> None:
        self.card, self._pooled, self._places = card, pooled, places

    def cost(self, item: Value) -> int:
        return COST

    def run(self, call: Call) -> Any:
        """Raises TrunklineError for a form or options this trunk doesn't have."""
        check_asked(self.card, call)
        if call.form == "places" and self._places is not None:
            return run_all(self._places, call.items)
        found = run_all(self._pooled, call.items)
        return np.array(found, np.float32).reshape(len(found), self.card.dim)

    def stream(self, call: Call) -> Iterator[Any]:
        yield self.run(call)
