"""The head `no_spans`: finds nothing in any text; the answer to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from trunkline.errors import BundleError
from trunkline.types import Arrays, Inputs, Prediction, Program


class NoSpansHead:
    format: ClassVar[str] = "no_spans"

    @staticmethod
    def prediction(n: int) -> Prediction:
        values = np.empty(n, object)
        values[:] = [()] * n
        return Prediction(values)

    def run(self, rows: Sequence[Inputs]) -> Program:
        yield from ()
        return self.prediction(len(rows))

    def save(self) -> tuple[dict[str, Any], Arrays]:
        return {"spans": "none"}, {}

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        """Raises BundleError where this is the meta of another head."""
        if meta.get("spans") != "none":
            raise BundleError("this is no head that finds nothing", found=repr(dict(meta))[:80])
        return cls()
