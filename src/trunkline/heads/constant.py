"""The head `constant`: the same prediction for every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.heads.rowwise import array_of
from trunkline.types import Arrays, Inputs, Prediction, Program


class ConstantHead:
    """values float64: (k,) probabilities, or () for a number."""

    format: ClassVar[str] = "constant"

    def __init__(self, values: NDArray[np.float64]) -> None:
        self.values = values

    def run(self, rows: Sequence[Inputs]) -> Program:
        yield from ()
        return Prediction(np.tile(self.values, (len(rows), *(1,) * self.values.ndim)))

    def save(self) -> tuple[dict[str, Any], Arrays]:
        return {"number": self.values.ndim == 0}, {"values": self.values.reshape(-1)}

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        """Raises BundleError where there are no values."""
        values = array_of(arrays, "values", np.float64, 1)
        if not len(values) or (meta.get("number") and len(values) != 1):
            raise BundleError("a constant head's values don't fit", found=str(values.shape))
        return cls(values.reshape(()) if meta.get("number") else values)
