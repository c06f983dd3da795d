"""The head `mlp`: one hidden layer with rectified linear units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.heads.dense import Dense, Landmarks
from trunkline.heads.links import apply_link, known_link
from trunkline.heads.rowwise import Matrix, array_of, multiply_rows
from trunkline.types import Arrays, Inputs, Prediction, Program


class MlpHead:
    """scores = relu(features @ into + into_bias) @ out + out_bias; into float16, the others float32."""

    format: ClassVar[str] = "mlp"

    def __init__(
        self,
        dense: Dense,
        link: str,
        layers: tuple[NDArray[np.float16], Matrix, Matrix, Matrix],
        landmarks: Landmarks | None = None,
    ) -> None:
        into, into_bias, out, out_bias = layers
        fit = into.shape[1:] == into_bias.shape and out.shape == (len(into_bias), len(out_bias))
        if not fit or not dense.fits(len(into), landmarks):
            raise BundleError("an mlp head's layers don't fit", found=f"{into.shape}, {out.shape}")
        self.dense, self.link, self.layers = dense, known_link(link, len(out_bias)), layers
        self.landmarks = landmarks

    def run(self, rows: Sequence[Inputs]) -> Program:
        outputs = yield self.dense.calls(rows)
        pooled = self.dense.pooled(outputs)
        features = self.dense.features(pooled, rows)
        into, into_bias, out, out_bias = (layer.astype(np.float32) for layer in self.layers)
        self.dense.check_width(features, len(into))
        hidden = np.maximum(multiply_rows(features, into) + into_bias, 0)
        scores = multiply_rows(hidden, out) + out_bias
        outside = self.landmarks.outside(pooled) if self.landmarks else None
        return Prediction(apply_link(self.link, scores.astype(np.float64)), outside)

    def save(self) -> tuple[dict[str, Any], Arrays]:
        dense, arrays = self.dense.save()
        arrays |= dict(zip(("into", "into_bias", "out", "out_bias"), self.layers, strict=True))
        if self.landmarks:
            arrays |= self.landmarks.save()
        return {"dense": dense, "link": self.link}, arrays

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        """Raises BundleError where shapes or values don't fit each other."""
        layers = (
            array_of(arrays, "into", np.float16, 2),
            array_of(arrays, "into_bias", np.float32, 1),
            array_of(arrays, "out", np.float32, 2),
            array_of(arrays, "out_bias", np.float32, 1),
        )
        return cls(Dense.load(meta.get("dense"), arrays), str(meta.get("link")), layers, Landmarks.load(arrays))
