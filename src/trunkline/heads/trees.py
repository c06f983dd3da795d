"""The head `trees`: boosted trees over table columns, and over a trunk's scores for text columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.columns import ColumnReader
from trunkline.errors import BundleError
from trunkline.heads.dense import texts_of
from trunkline.heads.links import apply_link, known_link
from trunkline.heads.rowwise import multiply_rows
from trunkline.heads.tree_arrays import Forest, TreeArrays
from trunkline.types import Arrays, Call, Inputs, Prediction, Program


@dataclass(frozen=True)
class TextScores:
    """A text column as few numbers that trees can split: a linear map of the trunk's pooled vector.

    weights (dim, k); bias (k,).
    """

    column: str
    engine: str  # "trunk:e5-small"
    weights: NDArray[np.float32]
    bias: NDArray[np.float64]

    def of(self, pooled: NDArray[Any]) -> NDArray[np.float64]:
        """float64 (n, k) of pooled vectors (n, dim)."""
        return multiply_rows(pooled, self.weights.astype(np.float64)) + self.bias


class TreesHead:
    """The trees' features are the table columns, in order, then each text's scores."""

    format: ClassVar[str] = "trees"

    def __init__(
        self,
        reader: ColumnReader,
        trees: TreeArrays,
        link: str,
        outputs: int,
        texts: Sequence[TextScores] = (),
    ) -> None:
        self.reader, self.trees, self.texts = reader, trees, tuple(texts)
        self.link, self.outputs = known_link(link, outputs), outputs
        self.forest = Forest(trees, outputs)

    def run(self, rows: Sequence[Inputs]) -> Program:
        """Ends in probabilities (or numbers for regress); asks only for pooled texts."""
        features = self.reader.read(rows)
        if self.texts:
            pooled = yield [Call(text.engine, texts_of(rows, text.column)) for text in self.texts]
            scores = [text.of(vectors) for text, vectors in zip(self.texts, pooled, strict=True)]
            features = np.concatenate([features, *scores], axis=1)
        return Prediction(apply_link(self.link, self.forest.score(features)))

    def save(self) -> tuple[dict[str, Any], Arrays]:
        meta = {
            "columns": self.reader.save(),
            "link": self.link,
            "outputs": self.outputs,
            "texts": [{"column": text.column, "engine": text.engine} for text in self.texts],
            "counted": self.trees.count is not None,  # heads of older bundles are not
        }
        arrays = self.trees.save()
        for i, text in enumerate(self.texts):
            arrays[f"text{i}_weights"], arrays[f"text{i}_bias"] = text.weights, text.bias
        return meta, arrays

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        """Raises BundleError where meta and arrays don't fit each other."""
        try:
            reader, outputs = ColumnReader.load(meta["columns"]), int(meta["outputs"])
            texts = [
                TextScores(
                    str(t["column"]), str(t["engine"]), arrays[f"text{i}_weights"], arrays[f"text{i}_bias"]
                )
                for i, t in enumerate(meta["texts"])
            ]
            link = meta["link"]
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError("a tree head can't be read", found=repr(error)) from None
        if meta.get("counted") and "count" not in arrays:
            raise BundleError("a tree head lacks an array", found="'count'")
        for text in texts:
            if text.weights.ndim != 2 or text.bias.shape != text.weights.shape[1:]:
                raise BundleError("a tree head's text scores don't fit each other", where=text.column)
        columns = len(reader.columns) + sum(len(text.bias) for text in texts)
        return cls(reader, TreeArrays.load(arrays, columns, outputs), link, outputs, texts)
