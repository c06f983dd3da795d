"""The head `span_linear`: where in a context the answer of a question begins and ends, by scores on frozen token vectors.

Each atom of the context gets a score as beginning and one as end (the two ends of Rajpurkar et al. 2016's spans, as BERT's
question answering has them, Devlin et al. 2019): linear in its vector and its neighbours', bilinear in its vector and the
question's, and by a small tanh layer on what `heads.reading` says of both. The span of the largest sum is the answer; its
score is its share among all spans and none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError
from trunkline.heads.dense import texts_of
from trunkline.heads.reading import CUES, FEATURES, SHAPES, Text, about, cues_of, read, units_of
from trunkline.heads.rowwise import Matrix, array_of
from trunkline.types import Arrays, Call, Inputs, Prediction, Program, Span, Tokens

HIDDEN = 32
WEIGHTS = ("dense", "cross", "kinds", "inner", "outer", "bias")  # what is learned
FRAME = {"middle": 1, "spread": 1, "points": 2, "asked": 2, "centre": 1, "scale": 1, "rare": 1, "lengths": 1}  # what is counted


class Asked(NamedTuple):
    """One question on one context of n atoms: vectors (n, dim), points (n, p), asked (q,), shapes (n, 3 * SHAPES) of an
    atom and its neighbours, cues (CUES + 1,), inner (n, FEATURES + SHAPES + CUES + 1)."""

    vectors: Matrix
    points: Matrix
    asked: Matrix
    shapes: Matrix
    cues: Matrix
    inner: Matrix


def beside(rows: Matrix, step: int) -> Matrix:
    """Each row's neighbour before it (1) or after it (-1); zero at the edge."""
    out = np.zeros_like(rows)
    if step > 0:
        out[1:] = rows[:-1]
    else:
        out[:-1] = rows[1:]
    return out


def asked_of(context: Text, held: tuple[Matrix, Matrix], question: str, tokens: Tokens, frame: Mapping[str, Matrix]) -> Asked:
    """A question as the head reads it; `held` are the context's vectors, and those of length 1."""
    own = read(question)
    vectors, units = units_of(tokens, own.atoms, frame["middle"], frame["spread"])
    mean = vectors.mean(axis=0) if len(vectors) else np.zeros(held[0].shape[1], np.float32)
    cues = cues_of(question)
    hand = (about(context, own, held[1], units, frame["rare"]) - frame["centre"]) * frame["scale"]
    inner = np.concatenate([hand, context.shapes, np.broadcast_to(cues, (len(hand), len(cues)))], axis=1)
    shapes = np.concatenate([context.shapes, beside(context.shapes, 1), beside(context.shapes, -1)], axis=1)
    return Asked(held[0], held[0] @ frame["points"], mean @ frame["asked"], shapes, cues, np.asarray(inner, np.float32))


def scores_of(row: Asked, weights: Mapping[str, Matrix]) -> tuple[Matrix, Matrix]:
    """(float32 (n, 2) scores of each atom as beginning and as end; (n, HIDDEN) the inner layer)."""
    flow = row.vectors @ weights["dense"]
    hidden = np.tanh(row.inner @ weights["inner"])
    out = flow[:, :2] + beside(flow[:, 2:4], 1) + beside(flow[:, 4:], -1) + weights["bias"]
    out += row.points @ (weights["cross"] @ row.asked) + row.shapes @ (weights["kinds"] @ row.cues)
    return out + hidden @ weights["outer"], hidden


def best_span(scores: Matrix, context: Text, lengths: Matrix, crossing: float) -> tuple[int, int, float]:
    """(first atom, last atom, share among all spans and none); lengths (L,) scores a span by its atoms, `crossing` one
    that leaves its sentence."""
    wide = scores.astype(np.float64)
    n, most = len(wide), len(lengths)
    ends = np.concatenate([wide[:, 1], np.full(most, -np.inf)])
    by = np.concatenate([context.sentences, np.full(most, -1)])
    at = np.arange(n)[:, None] + np.arange(most)
    sums = wide[:, :1] + ends[at] + lengths + np.where(by[at] == by[:n, None], 0.0, crossing)
    first, length = divmod(int(sums.argmax()), most)
    top = sums[first, length]
    peak = max(float(top), 0.0)
    whole = np.exp(sums - peak).sum() + np.exp(-peak)
    return first, first + length, float(np.exp(top - peak) / whole)


def span_of(text: str, context: Text, found: tuple[int, int, float]) -> tuple[Span, ...]:
    start, end = int(context.atoms.starts[found[0]]), int(context.atoms.ends[found[1]])
    return (Span(start, end, 0, text[start:end], found[2]),)


class SpanLinearHead:
    """frame: what is counted, weights: what is learned, as `asked_of` and `scores_of` use them."""

    format: ClassVar[str] = "span_linear"

    def __init__(
        self, engine: str, columns: tuple[str, str], frame: Mapping[str, Matrix], weights: Mapping[str, Matrix], crossing: float
    ) -> None:
        self.engine, self.columns, self.frame, self.weights, self.crossing = engine, columns, frame, weights, crossing

    def run(self, rows: Sequence[Inputs]) -> Program:
        questions, contexts = (texts_of(rows, column) for column in self.columns)
        asked, held = yield [Call(self.engine, questions, "tokens"), Call(self.engine, contexts, "tokens")]
        values = np.empty(len(rows), object)
        values[:] = [self._answer(*row) for row in zip(questions, contexts, asked, held, strict=True)]
        return Prediction(values)

    def _answer(self, question: str, text: str, asked: Tokens, held: Tokens) -> tuple[Span, ...]:
        context = read(text)
        if not context.keys:
            return ()
        vectors = units_of(held, context.atoms, self.frame["middle"], self.frame["spread"])
        scores, _ = scores_of(asked_of(context, vectors, question, asked, self.frame), self.weights)
        return span_of(text, context, best_span(scores, context, self.frame["lengths"], self.crossing))

    def save(self) -> tuple[dict[str, Any], Arrays]:
        arrays = {name: np.asarray(part, _kind(name)) for name, part in {**self.frame, **self.weights}.items()}
        sizes = {"dim": len(self.frame["middle"]), "points": self.frame["points"].shape[1], "asked": self.frame["asked"].shape[1]}
        counts = {"rare": len(self.frame["rare"]), "lengths": len(self.frame["lengths"])}
        return {"engine": self.engine, "columns": list(self.columns), "crossing": self.crossing, **sizes, **counts}, arrays

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        """Raises BundleError where shapes or values don't fit each other."""
        names = [*FRAME, *WEIGHTS]
        parts = {name: array_of(arrays, name, _kind(name), len(_shape(name, meta))).astype(np.float32) for name in names}
        for name, part in parts.items():
            if part.shape != _shape(name, meta):
                raise BundleError(f"the part {name!r} of a span_linear head doesn't fit", found=str(part.shape), wanted=str(_shape(name, meta)))
        columns, crossing = meta.get("columns"), meta.get("crossing")
        if not isinstance(columns, list) or len(columns) != 2 or not isinstance(crossing, int | float):
            raise BundleError("a span_linear head says neither its columns nor its crossing", found=repr(dict(meta))[:80])
        frame, weights = ({name: parts[name] for name in group} for group in (FRAME, WEIGHTS))
        return cls(str(meta.get("engine")), (str(columns[0]), str(columns[1])), frame, weights, float(crossing))


def _kind(name: str) -> Any:
    return np.float16 if name in ("dense", "cross", "kinds", "inner", "outer", "points", "asked", "rare") else np.float32


def _shape(name: str, meta: Mapping[str, Any]) -> tuple[int, ...]:
    dim, points, asked = (int(meta.get(key) or 0) for key in ("dim", "points", "asked"))
    inner = FEATURES + SHAPES + CUES + 1
    return {
        "middle": (dim,), "spread": (dim,), "points": (dim, points), "asked": (dim, asked), "centre": (FEATURES,),
        "scale": (FEATURES,), "rare": (int(meta.get("rare") or 0),), "lengths": (int(meta.get("lengths") or 0),),
        "dense": (dim, 6), "cross": (points, 2, asked), "kinds": (3 * SHAPES, 2, CUES + 1), "inner": (inner, HIDDEN),
        "outer": (HIDDEN, 2), "bias": (2,),
    }[name]  # fmt: skip


def small(parts: Mapping[str, NDArray[Any]]) -> dict[str, Matrix]:
    """The parts as they come back from a file."""
    return {name: np.asarray(part, _kind(name)).astype(np.float32) for name, part in parts.items()}
