"""Where training and prediction get heavy compute on this machine: the trunks that specs name, with the
feature cache before them. A trunk is loaded when the first row is asked for that the cache doesn't hold.
"""

from __future__ import annotations

from collections.abc import Callable

from trunkline.features import Features
from trunkline.spec import Spec
from trunkline.spec.model import trunk_of
from trunkline.terminal import SILENT, Progress
from trunkline.trunks import find
from trunkline.types import Ask, EngineCard, Trunk

PREFIX = "trunk:"


class _Trunks(dict[str, Trunk]):
    """"trunk:<name>" -> trunk, found on first use."""

    def __missing__(self, name: str) -> Trunk:
        self[name] = find(name.removeprefix(PREFIX))
        return self[name]


class Desk:
    """Answers calls to trunks. Making one loads nothing; products that share it share loaded trunks."""

    def __init__(self, features: Features | None = None) -> None:
        self.features = features if features is not None else Features()
        self._trunks = _Trunks()

    def ask(self, progress: Progress = SILENT) -> Ask:
        """Through the cache; rows that are new are computed, kept, and shown as progress."""
        return self.features.ask(self._trunks, progress)

    def ask_uncached(self) -> Ask:
        """Straight through the engines: what a server would do."""
        return self.features.ask_uncached(self._trunks)

    def cards(self, spec: Spec) -> list[EngineCard]:
        """The trunks that this product's inputs may use."""
        named = {name for kind in spec.inputs.values() if (name := trunk_of(spec, kind)) is not None}
        return [self._trunks[PREFIX + name].card for name in sorted(named)]

    def token_cost(self, spec: Spec) -> tuple[Callable[[str], int] | None, int]:
        """(tokens of a text, tokens the trunk reads). The first is None while the engine isn't
        loaded: counting alone is not worth the second that loading takes."""
        for card in self.cards(spec):
            if card.kind == "text" and card.max_tokens:
                engine = self.features.loaded(card)
                return (engine.cost if engine else None), card.max_tokens
        return None, 512
