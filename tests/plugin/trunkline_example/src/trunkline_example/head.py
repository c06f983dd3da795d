"""A head whose program yields twice: retrieve the nearest known text, then read both together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.types import Arrays, Call, Floats, Inputs, Prediction, Program


class TwoStepHead:
    """texts: m examples; vectors: float32 (m, dim) of them; classes: int64 (m,) in 0..labels-1."""

    format: ClassVar[str] = "two-step"

    def __init__(
        self, engine: str, column: str, labels: int, texts: Sequence[str], vectors: Floats, classes: NDArray[Any]
    ) -> None:
        self.engine, self.column, self.labels = engine, column, labels
        self.texts, self.vectors, self.classes = list(texts), vectors, classes

    def run(self, rows: Sequence[Inputs]) -> Program:
        own = [row[self.column] for row in rows]
        (first,) = yield [Call(self.engine, own)]
        nearest = [int(at) for at in self.alike(first).argmax(axis=1)]
        together = [f"{text}\n{self.texts[at]}" for text, at in zip(own, nearest, strict=True)]
        (second,) = yield [Call(self.engine, together)]
        alike = np.maximum(self.alike(first), self.alike(second))
        return Prediction(self.shares(alike), outside=1 - self.alike(first).max(axis=1))

    def alike(self, vectors: Floats) -> Floats:
        """Cosines, float64 (n, m). A sum a row: a matrix product's last bits depend on the batch."""
        known = self.vectors.astype(np.float64)
        return np.stack([(known * row).sum(axis=1) for row in vectors]) if len(vectors) else np.zeros((0, len(known)))

    def shares(self, alike: Floats) -> Floats:
        """The best example of each class speaks for it; softmax at 20, (n, labels)."""
        best = np.full((len(alike), self.labels), -1.0)
        for at, label in enumerate(self.classes):
            best[:, label] = np.maximum(best[:, label], alike[:, at])
        powers = np.exp(20 * (best - best.max(axis=1, keepdims=True)))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def save(self) -> tuple[dict[str, Any], Arrays]:
        meta = {"engine": self.engine, "column": self.column, "labels": self.labels, "texts": self.texts}
        return meta, {"vectors": self.vectors, "classes": self.classes}

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        try:
            texts, labels = list(meta["texts"]), int(meta["labels"])
            vectors, classes = arrays["vectors"], arrays["classes"]
            head = cls(str(meta["engine"]), str(meta["column"]), labels, texts, vectors, classes)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError("the two-step head is not complete", found=repr(error)) from None
        fits = vectors.ndim == 2 and classes.shape == (len(texts),) == vectors.shape[:1] and len(texts) > 0
        if not fits or classes.min() < 0 or classes.max() >= labels:
            raise BundleError("the parts of the two-step head don't fit each other", found=str(vectors.shape))
        return head
