"""What a product's network looks at while it answers: opened beside the one that serves, once somebody asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.inside import Inside
from trunkline.engines.ort import OrtSession
from trunkline.errors import TrunklineError

MAPS, ATTENTION = "maps", "attention"  # forms
CLOSE = 1e-3  # of an output, that its map must add up to: both are computed in float32
Arrays = Mapping[str, NDArray[Any]]


class Looked:
    """Thread-safe. Raises BundleError for a file that can't be read any more."""

    def __init__(self, model: Path) -> None:
        self.model = model

    def run(self, form: str, arrays: Arrays) -> list[NDArray[np.float32]]:
        """For each row. maps: (outputs, height, width), what each place adds to each output (Zhou et al. 2016); attention:
        (layers, heads, words, words), each word's over all. Of no size where the network has none."""
        if form not in (MAPS, ATTENTION):
            raise TrunklineError("an own network has no such form", found=repr(form), wanted=f"outputs, {MAPS} or {ATTENTION}")
        return list(self._maps(arrays) if form == MAPS else self._attention(arrays))

    def _maps(self, arrays: Arrays) -> NDArray[np.float32]:
        rows, (ending, session) = len(next(iter(arrays.values()))), self._mapping
        none = np.zeros((rows, 0, 0, 0), np.float32)
        if ending is None or session is None:
            return none
        given, places = session.run(arrays)
        maps = np.einsum("nchw,oc->nohw", places, ending.weights) / (places.shape[2] * places.shape[3])
        sums, wanted = maps.sum((2, 3)), given - ending.bias
        scales = (sums * wanted).sum(1) / np.maximum((sums * sums).sum(1), 1e-30)  # of a row that is scaled before the last layer
        maps *= scales[:, None, None, None]
        return maps if np.allclose(sums * scales[:, None], wanted, CLOSE, CLOSE) else none

    def _attention(self, arrays: Arrays) -> NDArray[np.float32]:
        session = self._attending
        if session is None:
            return np.zeros((len(next(iter(arrays.values()))), 0, 0, 0, 0), np.float32)
        return np.stack(session.run(arrays)[1:], axis=1)

    @cached_property
    def _mapping(self) -> tuple[Any, OrtSession | None]:
        ending = Inside.of(self.model).ending()
        return ending, None if ending is None else OrtSession(self.model, [ending.places])

    @cached_property
    def _attending(self) -> OrtSession | None:
        names = Inside.of(self.model).attentions()
        return OrtSession(self.model, names) if names else None
