"""A trunk that was learned on from another: its own layers, the other's words, tokenizer and precision.

A folder with FILE and WEIGHTS, found as "folder:<path>". Word vectors are most of a trunk; they stay where they are,
so a folder holds a tenth of the whole, and two such trunks share one table on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from trunkline.engines.openvino import OpenVinoSession
from trunkline.engines.text import TextEngine
from trunkline.errors import TrunkError
from trunkline.files import atomic_folder, digest_file, write_atomic
from trunkline.trunks import LEARNED, find
from trunkline.trunks.bert import GRAPH, BertEncoder, BertParts, BertTrunk, Front
from trunkline.trunks.bert_graph import build
from trunkline.trunks.cache import fingerprint, prepared
from trunkline.trunks.hub_files import load_weights
from trunkline.types import EngineCard, Refused

FILE, WEIGHTS = LEARNED, "layers.safetensors"
FORMAT = 1
RECIPE = 1


class Described(msgspec.Struct, frozen=True):
    """FILE. base_fingerprint: of the trunk whose words these are; weights: sha256 of WEIGHTS; record: how learned."""

    format: int
    base: str
    base_fingerprint: str
    weights: str
    record: dict[str, Any]


def save_learned(
    folder: Path, base: str, card: EngineCard, weights: Mapping[str, NDArray[np.float32]], record: Mapping[str, Any]
) -> None:
    """Write a new folder, whole or not at all. weights: by the names of `BertParts.weight`, all of them.

    Raises TrunklineError where the folder exists or can't be written.
    """
    from safetensors.numpy import save

    with atomic_folder(folder) as place:
        write_atomic(place / WEIGHTS, save({name: np.ascontiguousarray(each) for name, each in weights.items()}))
        about = Described(FORMAT, base, card.fingerprint, digest_file(place / WEIGHTS), dict(record))
        write_atomic(place / FILE, msgspec.json.format(msgspec.json.encode(about), indent=1))


class LearnedTrunk:
    """A `Trunk`. Constructing it opens nothing; the card is known once FILE has been read."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder

    def available(self) -> Refused | None:
        try:
            return self._base.available()
        except TrunkError as error:
            return Refused("missing", str(error))

    @cached_property
    def described(self) -> Described:
        path = self.folder / FILE
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Described)
        except (OSError, msgspec.DecodeError) as error:
            raise TrunkError("this trunk's description can't be read", where=str(path), found=str(error)) from error
        if found.format != FORMAT:
            raise TrunkError("this trunk is of another format", where=str(path), found=str(found.format), wanted=str(FORMAT))
        return found

    @cached_property
    def card(self) -> EngineCard:
        """Raises TrunkError where the base is no longer the one that was learned from."""
        found, base = self.described, self._base.card
        if base.fingerprint != found.base_fingerprint:
            raise TrunkError(
                f"{found.base} is not the trunk that this one was learned from", where=str(self.folder / FILE),
                found=f"fingerprint {base.fingerprint[:16]}", wanted=found.base_fingerprint[:16],
                hint="pretrain again from the trunk that is here",
            )  # fmt: skip
        told = {"base": base.fingerprint, "weights": found.weights, "graph": f"bert/{RECIPE}"}
        source = f"learned on from {found.base}"
        return replace(base, id=self.name, fingerprint=fingerprint(told), source=source)

    def prepare(self) -> Path:
        """The graph; made on the first call of this machine. Raises TrunkError."""
        return prepared(self.name, self.card.fingerprint, self._convert)

    def load(self) -> TextEngine:
        """Raises TrunkError where weights are missing or altered, or the base can't be had here."""
        if lacking := self._base.available():
            raise TrunkError(f"{self.described.base} can't be had here", where=self.name, found=lacking.message)
        precision = self.card.precision
        session, before = OpenVinoSession(self.prepare() / GRAPH, precision), self.front()
        return TextEngine(self.card, before.tokenizer, BertEncoder(before, session))

    def front(self) -> Front:
        return self._base.front()

    def parts(self) -> BertParts:
        """For learning on. Raises TrunkError."""
        path = self.folder / WEIGHTS
        if not path.is_file() or digest_file(path) != self.described.weights:
            raise TrunkError("this trunk's weights are missing or altered", where=str(path), wanted=self.described.weights[:16])
        own = load_weights(path)

        def weight(name: str) -> NDArray[np.float32]:
            if name not in own:
                raise TrunkError("this trunk lacks a weight", where=str(path), wanted=name)
            return own[name]

        return replace(self._base.parts(), weight=weight)

    def _convert(self, folder: Path) -> None:
        parts = self.parts()
        build(parts.shape, parts.weight, parts.precision, folder / GRAPH)

    @cached_property
    def _base(self) -> BertTrunk:
        return learnable(self.described.base)


def learnable(name: str) -> BertTrunk:
    """Raises TrunkError for a trunk that can't be learned on."""
    trunk = find(name)
    if hasattr(trunk, "parts"):
        return cast(BertTrunk, trunk)
    raise TrunkError("this trunk can't be learned on", where=name, wanted="an encoder of BERT's family: e5-small, minilm, or one in a folder")
