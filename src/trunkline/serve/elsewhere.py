"""The stand-in of an engine that another process computes: its card, so that it can be listed and told apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trunkline.errors import TrunklineError
from trunkline.types import Call, EngineCard, Value


class Elsewhere:
    def __init__(self, card: EngineCard) -> None:
        self.card = card

    def cost(self, item: Value) -> int:
        return 1

    def run(self, call: Call) -> Any:
        raise TrunklineError(f"the engine {call.engine!r} is computed elsewhere")

    def stream(self, call: Call) -> Iterator[Any]:
        yield self.run(call)
