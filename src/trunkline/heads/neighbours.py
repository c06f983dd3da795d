"""The head `neighbours`: what stored vectors near a row say, or the mean vectors of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.heads.dense import Dense
from trunkline.heads.rowwise import Matrix, array_of, multiply_rows, unit_rows
from trunkline.types import Arrays, Inputs, Prediction, Program

FLOOR = 1e-3  # share of every answer that the prior keeps: no probability is 0
SAID = ("class", "labels", "number")  # how what points say is saved: int32 (m,), uint8 (m, k), float32 (m, 1)


class NeighboursHead:
    """m known points in the trunk's space, by their direction from `centre`.

    points int8 (m, d); targets float32 (m, k), what each point says; prior float32 (k,); a row's
    values are the mean of its `nearest` points' targets, weighted by exp(sharpness * cosine).
    `number`: k = 1 and values are (n,).
    """

    format: ClassVar[str] = "neighbours"

    def __init__(
        self,
        dense: Dense,
        centre: Matrix,
        points: NDArray[np.int8],
        targets: Matrix,
        prior: Matrix,
        *,
        nearest: int,
        sharpness: float,
        number: bool = False,
    ) -> None:
        fits = points.ndim == 2 and len(points) and points.shape[1:] == centre.shape
        if not fits or targets.shape != (len(points), len(prior)) or (number and len(prior) != 1):
            raise BundleError("a neighbours head's arrays don't fit", found=f"{points.shape}, {targets.shape}")
        if not 1 <= nearest <= len(points) or not np.isfinite(sharpness) or dense.encoder is not None:
            raise BundleError("a neighbours head's settings don't fit", found=f"{nearest}, {sharpness}")
        self.dense, self.centre, self.points, self.targets, self.prior = dense, centre, points, targets, prior
        self.nearest, self.sharpness, self.number = nearest, sharpness, number
        self._columns = np.ascontiguousarray(unit_rows(points).T)

    def run(self, rows: Sequence[Inputs]) -> Program:
        outputs = yield self.dense.calls(rows)
        return self.of(self.dense.pooled(outputs))

    def of(self, pooled: Matrix) -> Prediction:
        """What rows with these vectors (n, d) get. Raises BundleError for vectors of another length."""
        self.dense.check_width(pooled, len(self.centre))
        cosines = multiply_rows(unit_rows(pooled - self.centre), self._columns)
        return Prediction(self._values(cosines), 1 - cosines.max(axis=1))

    def _values(self, cosines: Matrix) -> NDArray[np.float64]:
        if self.nearest < cosines.shape[1]:
            at = np.sort(np.argpartition(-cosines, self.nearest - 1, axis=1)[:, : self.nearest], axis=1)
        else:
            at = np.broadcast_to(np.arange(cosines.shape[1]), cosines.shape)
        near = np.take_along_axis(cosines, at, axis=1).astype(np.float64)
        weights = np.exp(self.sharpness * (near - near.max(axis=1, keepdims=True)))
        weights /= weights.sum(axis=1, keepdims=True)
        said = np.stack([w @ self.targets[i].astype(np.float64) for w, i in zip(weights, at, strict=True)])
        if self.number:
            return np.asarray(said[:, 0])
        return np.asarray((1 - FLOOR) * said + FLOOR * self.prior.astype(np.float64))

    def save(self) -> tuple[dict[str, Any], Arrays]:
        dense, arrays = self.dense.save()
        said, packed = self._packed()
        meta = {"dense": dense, "nearest": self.nearest, "sharpness": self.sharpness, "said": said}
        own: Arrays = {"centre": self.centre, "points": self.points, "targets": packed, "prior": self.prior}
        return meta, {**arrays, **own}

    def _packed(self) -> tuple[str, NDArray[Any]]:
        if self.number:
            return "number", self.targets
        if (self.targets.sum(axis=1) == 1).all():
            return "class", self.targets.argmax(axis=1).astype(np.int32)
        return "labels", self.targets.astype(np.uint8)

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        """Raises BundleError where shapes or values don't fit each other."""
        try:
            nearest, sharpness, said = int(meta["nearest"]), float(meta["sharpness"]), str(meta["said"])
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError("a neighbours head can't be read", found=repr(error)) from None
        prior = array_of(arrays, "prior", np.float32, 1)
        return cls(
            Dense.load(meta.get("dense"), arrays),
            array_of(arrays, "centre", np.float32, 1),
            array_of(arrays, "points", np.int8, 2),
            _unpacked(said, arrays, len(prior)),
            prior,
            nearest=nearest,
            sharpness=sharpness,
            number=said == "number",
        )


def _unpacked(said: str, arrays: Arrays, width: int) -> Matrix:
    """targets float32 (m, k) from what `save` packed."""
    if said == "class":
        classes = array_of(arrays, "targets", np.int32, 1)
        if len(classes) and (classes.min() < 0 or classes.max() >= width):
            raise BundleError("a neighbours head names a class that isn't there", found=str(classes.max()))
        return np.asarray(np.eye(width, dtype=np.float32)[classes])
    if said == "labels":
        return array_of(arrays, "targets", np.uint8, 2).astype(np.float32)
    if said == "number":
        return array_of(arrays, "targets", np.float32, 2)
    raise BundleError("a neighbours head can't be read", found=repr(said), wanted=" | ".join(SAID))
