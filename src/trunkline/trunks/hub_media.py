"""Encoders of pictures and sounds from the hub or a folder: what the trunks of both kinds share."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.openvino import OpenVinoSession
from trunkline.engines.single import SingleEngine
from trunkline.errors import TrunkError, TrunklineError
from trunkline.files import digest_file
from trunkline.trunks.cache import fingerprint, prepared
from trunkline.trunks.hub_files import locate, read_json
from trunkline.types import EngineCard, Refused, Value

GRAPH = "model.onnx"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
RECIPE = 1


class MediaTrunk:
    """A `Trunk`; vectors of length 1. Constructing it opens nothing. A kind's own: `kind`, `part` (of a
    processor_config.json), `dim`, `_export` and `_vector`."""

    kind: ClassVar[str]
    part: ClassVar[str]

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def dim(self) -> int:
        raise NotImplementedError

    def _export(self, path: Path) -> None:
        """Write the graph. Raises MissingExtra, TrunkError."""
        raise NotImplementedError

    def _vector(self, session: OpenVinoSession, item: Value) -> NDArray[np.float32]:
        """(dim,), of any length."""
        raise NotImplementedError

    def available(self) -> Refused | None:
        try:
            self.card  # noqa: B018 - reading it is the question
        except TrunklineError as error:
            return Refused("missing", error.line)
        return None

    @cached_property
    def folder(self) -> Path:
        return locate(self.name)

    @cached_property
    def config(self) -> dict[str, Any]:
        return dict(read_json(self.folder / CONFIG))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """How items are made ready, as the folder says it."""
        whole = read_json(self._settings_file)
        return dict(whole.get(self.part) or whole)

    @property
    def _settings_file(self) -> Path:
        there = [path for name in PROCESSORS if (path := self.folder / name).is_file()]
        if not there:
            raise TrunkError("the encoder doesn't say how its input is made ready", where=str(self.folder), found="nothing", wanted=PROCESSORS[0])
        return there[0]

    @cached_property
    def card(self) -> EngineCard:
        files = [self.folder / CONFIG, self._settings_file, self.folder / WEIGHTS]
        if not files[-1].is_file():
            raise TrunkError(
                "the encoder has no weights that can be loaded safely", where=str(files[-1]), found="nothing",
                wanted=f"{WEIGHTS} (pickled weights are never opened)", hint="save it again with transformers' save_pretrained",
            )  # fmt: skip
        decides = {"files": {path.name: digest_file(path) for path in files}, "recipe": RECIPE, "precision": "f32", "runtime": "openvino"}
        return EngineCard(
            id=self.name, fingerprint=fingerprint(decides), kind=self.kind, forms=("pooled",), dim=self.dim,
            licence="see its model card", source=self.name, precision="f32", runtime="openvino",
        )  # fmt: skip

    def prepare(self) -> Path:
        """The exported graph's folder. Raises TrunkError; MissingExtra where torch is needed and absent."""
        return prepared(self.name, self.card.fingerprint, lambda folder: self._export(folder / GRAPH))

    def load(self) -> SingleEngine:
        session = OpenVinoSession(self.prepare() / GRAPH, "f32")

        def pooled(item: Value) -> NDArray[np.float32]:
            vector = self._vector(session, item)
            if vector.shape != (self.dim,):
                raise TrunkError("the encoder's vectors are not as long as its config.json says", where=self.name, found=str(vector.shape), wanted=str((self.dim,)))
            return np.asarray(vector / max(float(np.sqrt(vector @ vector)), 1e-12), np.float32)

        return SingleEngine(self.card, pooled)
