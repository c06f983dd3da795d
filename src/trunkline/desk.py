"""Where training and prediction get heavy compute on this machine: the trunks that specs name, with the
feature cache before them, and a product's own networks. A trunk is loaded when the first row is asked for that the cache doesn't hold.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, MutableMapping
from typing import cast

from trunkline.errors import SpecError, located
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

    def ask(self, progress: Progress = SILENT, own: Mapping[str, Trunk] | None = None) -> Ask:
        """Through the cache; rows that are new are computed, kept, and shown as progress.

        own: "own:<name>" -> a network that only this product has.
        """
        return self.features.ask(self._with(own), progress)

    def ask_uncached(self, own: Mapping[str, Trunk] | None = None) -> Ask:
        """Straight through the engines: what a server would do."""
        return self.features.ask_uncached(self._with(own))

    def _with(self, own: Mapping[str, Trunk] | None) -> Mapping[str, Trunk]:
        """`own` first: what it lacks is looked for among the trunks."""
        return ChainMap(cast(MutableMapping[str, Trunk], own), self._trunks) if own else self._trunks

    def cards(self, spec: Spec) -> list[EngineCard]:
        """The trunks that this product's inputs may use. Raises SpecError for one that reads another kind."""
        named = {(name, kind) for kind in spec.inputs.values() if (name := trunk_of(spec, kind)) is not None}
        found = []
        for name, kind in sorted(named):
            with located(f"key 'trunks.{kind}'"):
                found.append((self._trunks[PREFIX + name].card, kind))
        for card, kind in found:
            if card.kind != kind:
                raise SpecError("this trunk reads another kind", where=f"trunks.{kind}", found=f"{card.id}, which reads {card.kind}", wanted=f"a trunk that reads {kind}")
        return [card for card, _ in found]

    def width(self, engine: str) -> int:
        """Numbers in a vector of the trunk that calls name so. Raises TrunkError for an unknown one."""
        return self._trunks[engine].card.dim

    def max_tokens(self, spec: Spec) -> int:
        """What the product's trunk reads of a text; 512 where it has none."""
        limits = (card.max_tokens for card in self.cards(spec) if card.kind == "text" and card.max_tokens)
        return next(limits, 512)
