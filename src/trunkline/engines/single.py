"""An image encoder in memory: pictures made ready one by one, then through a model, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.asked import check_asked
from trunkline.engines.threads import run_all
from trunkline.inputs.image import Picture
from trunkline.types import Call, EngineCard

COST = 256  # as much work as a long text: pictures go one at a time, side by side over the cores


class ImageEngine:
    """An `Engine`; form `pooled`, float32 (n, dim). A picture's vector depends on it alone: none shares a batch.

    prepare: picture -> the model's input, float32. pooled: that -> (dim,).
    """

    def __init__(
        self,
        card: EngineCard,
        prepare: Callable[[Picture], NDArray[np.float32]],
        pooled: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    ) -> None:
        self.card, self._prepare, self._pooled = card, prepare, pooled

    def cost(self, item: Picture) -> int:
        return COST

    def run(self, call: Call) -> Any:
        """Raises TrunklineError for a form, an adapter or options this trunk doesn't have."""
        check_asked(self.card, call)
        found = run_all(lambda item: self._pooled(self._prepare(item)), call.items)
        return np.array(found, np.float32).reshape(len(found), self.card.dim)

    def stream(self, call: Call) -> Iterator[Any]:
        yield self.run(call)
