"""A method: a few typical examples of each class, kept with their vectors."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trunkline.program import one
from trunkline.spec import Spec
from trunkline.spec.model import trunk_of
from trunkline.types import Ask, Call, Candidate, Examples, Floats, Folds, Prediction, Refused
from trunkline_example.head import TwoStepHead

KEPT = 8  # examples a class


class TwoStep:
    """One column with a trunk, and one right answer a row."""

    name: ClassVar[str] = "two-step"

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        if len(spec.inputs) != 1 or trunk_of(spec, next(iter(spec.inputs.values()))) is None:
            return Refused("cannot", "two-step reads one column of a kind that has a trunk")
        if not np.issubdtype(examples.target.dtype, np.integer) or examples.target.ndim != 1:
            return Refused("cannot", "two-step gives one of several labels")
        return None

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        ((column, kind),) = spec.inputs.items()
        engine = f"trunk:{trunk_of(spec, kind)}"
        texts = [row[column] for row in examples.inputs]
        (vectors,) = ask([Call(engine, texts)])

        def head(at: NDArray[np.int64]) -> TwoStepHead:
            kept = at[_typical(vectors[at], examples.target[at])]
            known = [texts[i] for i in kept]
            return TwoStepHead(engine, column, len(examples.labels), known, vectors[kept], examples.target[kept])

        values = np.zeros((len(examples), len(examples.labels)))
        outside = np.zeros(len(examples))
        for fold in np.unique(folds):
            held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            part = one(head(rest).run([examples.inputs[i] for i in held.tolist()]), ask)
            values[held], outside[held] = part.values, part.outside
        return Candidate(head(np.arange(len(examples))), Prediction(values, outside), {"kept": KEPT})


def _typical(vectors: Floats, target: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the KEPT rows of each class that are nearest to its mean."""
    kept = []
    for label in np.unique(target):
        members = np.flatnonzero(target == label)
        far = np.linalg.norm(vectors[members] - vectors[members].mean(axis=0), axis=1)
        kept.append(members[np.argsort(far, kind="stable")[:KEPT]])
    return np.concatenate(kept)
