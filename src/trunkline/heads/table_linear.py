"""The head `table_linear`: one linear model over encoded table columns, no trunk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.columns import ColumnEncoder
from trunkline.errors import BundleError
from trunkline.heads.links import apply_link, known_link
from trunkline.heads.rowwise import multiply_rows
from trunkline.types import Arrays, Inputs, Prediction, Program


class TableLinearHead:
    """weights float64 (features, k), bias (k,); `link` turns the k scores into Prediction.values."""

    format: ClassVar[str] = "table_linear"

    def __init__(
        self, encoder: ColumnEncoder, weights: NDArray[np.float64], bias: NDArray[np.float64], link: str
    ) -> None:
        if weights.ndim != 2 or len(weights) != encoder.dim or bias.shape != weights.shape[1:]:
            raise BundleError("a table head's weights don't fit its columns", found=str(weights.shape))
        self.encoder, self.weights, self.bias = encoder, weights, bias
        self.link = known_link(link, len(bias))

    def run(self, rows: Sequence[Inputs]) -> Program:
        """Ends at once: a table needs no heavy compute."""
        yield from ()
        scores = multiply_rows(self.encoder.transform(rows), self.weights) + self.bias
        return Prediction(apply_link(self.link, scores))

    def save(self) -> tuple[dict[str, Any], Arrays]:
        meta, arrays = self.encoder.save()
        return {**meta, "link": self.link}, {**arrays, "weights": self.weights, "bias": self.bias}

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        """Raises BundleError where meta and arrays don't fit each other."""
        try:
            weights, bias, link = arrays["weights"], arrays["bias"], meta["link"]
        except KeyError as error:
            raise BundleError("a table head can't be read", found=repr(error)) from None
        return cls(ColumnEncoder.load(meta, arrays), weights, bias, link)
