"""The head `best_sentence`: the sentence that shares most of the question's rare words; the answer to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from trunkline.errors import BundleError
from trunkline.heads.dense import texts_of
from trunkline.heads.reading import read, shared
from trunkline.heads.rowwise import Matrix, array_of
from trunkline.types import Arrays, Inputs, Prediction, Program, Span


class BestSentenceHead:
    """columns: question, context. rare float32 (buckets,): how rare a word is, by its hash."""

    format: ClassVar[str] = "best_sentence"

    def __init__(self, columns: tuple[str, str], rare: Matrix) -> None:
        self.columns, self.rare = columns, rare

    def run(self, rows: Sequence[Inputs]) -> Program:
        yield from ()
        questions, contexts = (texts_of(rows, column) for column in self.columns)
        return self.prediction(questions, contexts)

    def prediction(self, questions: Sequence[str], contexts: Sequence[str]) -> Prediction:
        values = np.empty(len(questions), object)
        values[:] = [self._answer(*row) for row in zip(questions, contexts, strict=True)]
        return Prediction(values)

    def _answer(self, question: str, text: str) -> tuple[Span, ...]:
        context = read(text)
        if not context.keys:
            return ()
        _, _, shares = shared(context, read(question), self.rare)
        best = int(shares.argmax())
        first, last = np.searchsorted(context.sentences, best), np.searchsorted(context.sentences, best, "right") - 1
        start, end = int(context.atoms.starts[first]), int(context.atoms.ends[last])
        return (Span(start, end, 0, text[start:end], float(np.clip(shares[best], 0, 1))),)

    def save(self) -> tuple[dict[str, Any], Arrays]:
        return {"columns": list(self.columns), "buckets": len(self.rare)}, {"rare": self.rare.astype(np.float16)}

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        """Raises BundleError where shapes or values don't fit each other."""
        rare, columns = array_of(arrays, "rare", np.float16, 1).astype(np.float32), meta.get("columns")
        if not isinstance(columns, list) or len(columns) != 2 or len(rare) != meta.get("buckets"):
            raise BundleError("the parts of a best_sentence head don't fit each other", found=repr(dict(meta))[:80])
        return cls((str(columns[0]), str(columns[1])), rare)
