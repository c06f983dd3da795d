"""The method `best_sentence`: counts how rare words are, and answers with a whole sentence; the answer to beat."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trunkline.heads.best_sentence import BestSentenceHead
from trunkline.heads.reading import read
from trunkline.methods.settings import NoSettings, read_settings
from trunkline.spec import Spec
from trunkline.spec.model import document_of, question_of
from trunkline.types import Ask, Candidate, Examples, Folds, Refused

BUCKETS = 2**14


class BestSentence:
    """Reads no right answer, so that all its predictions are out of fold."""

    name: ClassVar[str] = "best_sentence"

    def check(self, spec: Spec) -> None:
        read_settings(spec, self.name, NoSettings)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        if spec.task != "extract":
            return Refused("cannot", f"{self.name} finds an answer in a context (task extract), not {spec.task}")
        return None

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        columns = question_of(spec), document_of(spec)
        questions, contexts = ([row[column] for row in examples.inputs] for column in columns)
        rare = rarities(set(contexts)).astype(np.float16).astype(np.float32)
        head = BestSentenceHead(columns, rare)
        return Candidate(head, head.prediction(questions, contexts), {})


def rarities(contexts: Iterable[str]) -> NDArray[np.float32]:
    """(BUCKETS,) log of how few contexts have a word, 0 for one that all have."""
    counts, n = np.zeros(BUCKETS), 0
    for context in contexts:
        n += 1
        counts[np.unique([zlib.crc32(key.encode("utf-8", "replace")) % BUCKETS for key in read(context).keys]).astype(np.int64)] += 1
    return np.log((n + 1) / (counts + 1)).astype(np.float32) + np.float32(0.01)
