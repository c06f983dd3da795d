"""The head `linear`: scores that are linear in the trunk's vectors, table columns and n-grams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.heads.dense import Dense, Landmarks, texts_of
from trunkline.heads.links import apply_link, known_link
from trunkline.heads.rowwise import Matrix, array_of, multiply_rows, multiply_sparse, prefixed
from trunkline.lexical import Lexicon
from trunkline.types import Arrays, Call, Inputs, Outputs, Prediction, Program


@dataclass(frozen=True)
class DensePart:
    """weights float16 (dim, k) on the features of `dense`, to be multiplied by scale float32 (k,)."""

    dense: Dense
    weights: NDArray[np.float16]
    scale: Matrix
    landmarks: Landmarks | None = None

    def scores(self, pooled: Matrix, rows: Sequence[Inputs]) -> Matrix:
        features = self.dense.features(pooled, rows)
        if features.shape[1] != len(self.weights):
            raise BundleError(
                "the trunk's vectors don't fit the head",
                where=self.dense.engine,
                found=f"{features.shape[1]} features",
                wanted=str(len(self.weights)),
            )
        return multiply_rows(features, self.weights.astype(np.float32)) * self.scale


@dataclass(frozen=True)
class LexicalPart:
    """weights int8 (features, k), to be multiplied by scale float32 (k,)."""

    texts: tuple[str, ...]
    lexicon: Lexicon
    weights: NDArray[np.int8]
    scale: Matrix

    def scores(self, rows: Sequence[Inputs]) -> Matrix:
        found = self.lexicon.transform([texts_of(rows, column) for column in self.texts])
        return multiply_sparse(found, self.weights) * self.scale


class LinearHead:
    """bias float32 (k,) plus the scores of its parts; `link` makes them Prediction.values."""

    format: ClassVar[str] = "linear"

    def __init__(
        self, link: str, bias: Matrix, dense: DensePart | None = None, lexical: LexicalPart | None = None
    ) -> None:
        self.link, self.bias, self.dense, self.lexical = known_link(link, len(bias)), bias, dense, lexical

    def run(self, rows: Sequence[Inputs]) -> Program:
        calls: list[Call] = self.dense.dense.calls(rows) if self.dense else []
        outputs: Outputs = (yield calls) if calls else ()
        scores = np.zeros((len(rows), len(self.bias)), np.float32) + self.bias
        outside = None
        if self.dense:
            pooled = self.dense.dense.pooled(outputs)
            scores += self.dense.scores(pooled, rows)
            outside = self.dense.landmarks.outside(pooled) if self.dense.landmarks else None
        if self.lexical:
            scores += self.lexical.scores(rows)
        return Prediction(apply_link(self.link, scores.astype(np.float64)), outside)

    def save(self) -> tuple[dict[str, Any], Arrays]:
        meta: dict[str, Any] = {"link": self.link}
        arrays: Arrays = {"bias": self.bias}
        if self.dense:
            meta["dense"], encoder = self.dense.dense.save()
            arrays |= {**encoder, "weights": self.dense.weights, "scale": self.dense.scale}
            if self.dense.landmarks:
                arrays |= {f"landmarks.{k}": v for k, v in self.dense.landmarks.save().items()}
        if self.lexical:
            meta["lexical"] = list(self.lexical.texts)
            arrays |= {f"lexicon.{k}": v for k, v in self.lexical.lexicon.arrays().items()}
            arrays |= {"lexicon.weights": self.lexical.weights, "lexicon.scale": self.lexical.scale}
        return meta, arrays

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        """Raises BundleError where shapes or values don't fit each other."""
        bias = array_of(arrays, "bias", np.float32, 1)
        dense = _load_dense(meta["dense"], arrays, len(bias)) if "dense" in meta else None
        lexical = _load_lexical(meta["lexical"], arrays, len(bias)) if "lexical" in meta else None
        if dense is None and lexical is None:
            raise BundleError("a linear head has no part", found=repr(sorted(meta)))
        return cls(str(meta.get("link")), bias, dense, lexical)


def _load_dense(meta: Any, arrays: Arrays, outputs: int) -> DensePart:
    dense = Dense.load(meta, arrays)
    weights, scale = array_of(arrays, "weights", np.float16, 2), array_of(arrays, "scale", np.float32, 1)
    marks = prefixed(arrays, "landmarks")
    landmarks = Landmarks.load(marks) if marks else None
    if not weights.shape[1:] == scale.shape == (outputs,) or not dense.fits(len(weights), landmarks):
        raise BundleError(
            "a linear head's weights don't fit its parts", found=str(weights.shape), wanted=f"(features, {outputs})"
        )
    return DensePart(dense, weights, scale, landmarks)


def _load_lexical(texts: Any, arrays: Arrays, outputs: int) -> LexicalPart:
    own = prefixed(arrays, "lexicon")
    lexicon = Lexicon.load(own)
    weights, scale = array_of(own, "weights", np.int8, 2), array_of(own, "scale", np.float32, 1)
    if weights.shape != (len(lexicon), outputs) or scale.shape != (outputs,):
        raise BundleError(
            "a linear head's n-gram weights don't fit",
            found=f"{weights.shape}, scale {scale.shape}",
            wanted=f"({len(lexicon)}, {outputs})",
        )
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise BundleError("a linear head's text columns can't be read", found=repr(texts)[:200])
    return LexicalPart(tuple(texts), lexicon, weights, scale)
