"""The method `span_linear`: beginnings and ends of answers, learned on frozen token vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.threads import run_all
from trunkline.errors import TrainError
from trunkline.heads.reading import CUES, FEATURES, SHAPES, Text, read, units_of
from trunkline.heads.rowwise import Matrix
from trunkline.heads.span_linear import (
    HIDDEN,
    Asked,
    SpanLinearHead,
    asked_of,
    beside,
    best_span,
    scores_of,
    small,
    span_of,
)
from trunkline.methods.adamw import AdamW
from trunkline.methods.best_sentence import rarities
from trunkline.methods.dense_rows import check_budget
from trunkline.methods.settings import NoSettings, read_settings
from trunkline.spec import Spec
from trunkline.spec.model import document_of, question_of, trunk_of
from trunkline.types import (
    Ask,
    Call,
    Candidate,
    Examples,
    Floats,
    Folds,
    Ints,
    Prediction,
    Refused,
    Span,
    Tokens,
)

MOST_BYTES = 4_000_000_000  # of token vectors held while learning
POINTS, ASKED = 48, 24  # principal directions of tokens and of questions that are multiplied
MOST_ATOMS = 60  # of an answer
SAMPLE = 400  # rows by which features are scaled
EPOCHS, BATCH, RATE, DECAY = 12, 8, 2e-3, 1e-2
MANY = 300  # rows, from which three folds do


@dataclass(frozen=True)
class _Rows:
    """Rows with their contexts, each read once. ends (n, 2): first and last atom of the answer; -1 where there is none."""

    texts: list[str]
    questions: list[str]
    contexts: Mapping[str, tuple[Text, tuple[Matrix, Matrix]]]
    tokens: Sequence[Tokens]
    ends: Ints

    def asked(self, i: int, frame: Mapping[str, Matrix]) -> Asked:
        return asked_of(*self.contexts[self.texts[i]], self.questions[i], self.tokens[i], frame)


class SpanLinear:
    name: ClassVar[str] = "span_linear"

    def check(self, spec: Spec) -> None:
        read_settings(spec, self.name, NoSettings)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        if spec.task != "extract":
            return Refused("cannot", f"{self.name} finds an answer in a context (task extract), not {spec.task}")
        return Refused("cannot", f"{self.name} needs a text trunk") if trunk_of(spec, "text") is None else None

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Raises TrainError: too many tokens to hold, no answer in any row, or a head over its budget."""
        columns, engine = (question_of(spec), document_of(spec)), f"trunk:{trunk_of(spec, 'text')}"
        rows, frame = _gathered(examples, ask, engine, columns)
        lengths, crossing = _habits(rows)
        frame["lengths"] = lengths
        cut = folds % 3 if len(examples) > MANY else folds
        every = np.unique(cut).tolist()
        asked = [rows.asked(i, frame) for i in range(len(examples))]
        jobs = [np.flatnonzero(cut != fold) for fold in every] + [np.arange(len(examples))]
        *parts, whole = run_all(lambda at: _learn(asked, rows.ends, at, spec.seed), jobs)
        values = np.empty(len(examples), object)
        for fold, part in zip(every, parts, strict=True):
            for i in np.flatnonzero(cut == fold).tolist():
                values[i] = _said(rows, i, asked[i], part, lengths, crossing)
        head = SpanLinearHead(engine, columns, frame, whole, crossing)
        check_budget(head, spec, self.name)
        return Candidate(head, Prediction(values), {"atoms": len(lengths)})


def _gathered(examples: Examples, ask: Ask, engine: str, columns: tuple[str, str]) -> tuple[_Rows, dict[str, Matrix]]:
    questions, texts = ([row[column] for row in examples.inputs] for column in columns)
    distinct = list(dict.fromkeys(texts))
    asked, held = ask([Call(engine, questions, "tokens"), Call(engine, distinct, "tokens")])
    size = sum(one.vectors.nbytes for one in held) * 3
    if size > MOST_BYTES:
        raise TrainError("these contexts have too many tokens to learn from at once", found=f"{size / 1e9:.1f} GB of vectors",
                         wanted=f"at most {MOST_BYTES / 1e9:.0f} GB", hint="fewer or shorter contexts")  # fmt: skip
    frame = _frame(held, asked, distinct)
    contexts = {}
    for text, tokens in zip(distinct, held, strict=True):
        own = read(text)
        contexts[text] = own, units_of(tokens, own.atoms, frame["middle"], frame["spread"])
    ends = np.array([_ends(contexts[text][0], spans) for text, spans in zip(texts, examples.target, strict=True)])
    if (ends < 0).all():
        raise TrainError("no training row has an answer", wanted="rows whose answer stands in the context")
    rows = _Rows(texts, questions, contexts, asked, ends)
    some = np.random.default_rng(0).permutation(len(texts))[:SAMPLE].tolist()
    blank = {**frame, "centre": np.zeros(FEATURES, np.float32), "scale": np.ones(FEATURES, np.float32)}
    found = np.concatenate([rows.asked(i, blank).inner[:, :FEATURES] for i in some])
    frame["centre"] = found.mean(axis=0, dtype=np.float64).astype(np.float32)
    frame["scale"] = (1 / np.maximum(found.std(axis=0, dtype=np.float64), 1e-3)).astype(np.float32)
    return rows, small(frame)


def _frame(held: Sequence[Tokens], asked: Sequence[Tokens], contexts: Sequence[str]) -> dict[str, Matrix]:
    """Middle, spread and principal directions of tokens and of questions' means; rarities of words."""
    every = np.concatenate([one.vectors for one in held])
    every = every[np.random.default_rng(0).permutation(len(every))[:50_000]].astype(np.float64)
    middle, spread = every.mean(axis=0), 1 / np.maximum(every.std(axis=0), 1e-6)
    means = np.array([one.vectors.mean(axis=0) if len(one.vectors) else middle for one in asked], np.float64)
    parts = {
        "middle": middle, "spread": spread, "points": _directions((every - middle) * spread, POINTS),
        "asked": _directions((means - middle) * spread, ASKED), "rare": rarities(contexts),
    }  # fmt: skip
    return small(parts)


def _directions(rows: Floats, count: int) -> NDArray[np.float64]:
    """(dim, count): principal directions, each divided by the spread along it."""
    values, vectors = np.linalg.eigh(rows.T @ rows / max(len(rows), 1))
    count = min(count, len(values))
    top = np.maximum(values[::-1][:count], 1e-6 * max(float(values[-1]), 1e-6))
    return np.asarray(vectors[:, ::-1][:, :count] / np.sqrt(top))


def _ends(context: Text, spans: Sequence[Span]) -> tuple[int, int]:
    """(first, last) atom of the first right answer; an edge within an atom takes the whole of it."""
    for span in spans:
        low = int(np.searchsorted(context.atoms.ends, span.start, "right"))
        high = int(np.searchsorted(context.atoms.starts, span.end, "left")) - 1
        if low <= high:
            return low, high
    return -1, -1


def _habits(rows: _Rows) -> tuple[NDArray[np.float32], float]:
    """((L,) log share of answers of each length in atoms, smoothed, with what a longer span gains by chance taken off;
    log odds that an answer leaves its sentence)."""
    known = rows.ends[rows.ends[:, 0] >= 0]
    sizes = np.minimum(known[:, 1] - known[:, 0] + 1, MOST_ATOMS)
    most = int(sizes.max())
    near = np.exp(-(np.subtract.outer(np.log(np.arange(1, most + 1)), np.log(sizes)) ** 2) / 0.08).sum(axis=1)
    shares = (near + 0.1) / (near + 0.1).sum()
    leaves = sum(
        rows.contexts[rows.texts[i]][0].sentences[first] != rows.contexts[rows.texts[i]][0].sentences[last]
        for i, (first, last) in enumerate(rows.ends.tolist()) if first >= 0
    )  # fmt: skip
    return np.log(shares / shares.max()).astype(np.float32), float(np.log((leaves + 0.5) / (len(known) + 0.5)))


def _learn(asked: Sequence[Asked], ends: Ints, at: Ints, seed: int) -> dict[str, Matrix]:
    """Softmax over beginnings, and over ends, each with none beside them, by `AdamW`, on rows `at`."""
    rng = np.random.default_rng(seed)
    at = at[[len(asked[i].vectors) > 0 for i in at.tolist()]]
    weights = _begun(asked[int(at[0])], rng)
    moved = AdamW(list(weights.values()), EPOCHS * -(-len(at) // BATCH), RATE, DECAY)
    for _ in range(EPOCHS):
        order = rng.permutation(at)
        for start in range(0, len(order), BATCH):
            slopes = {name: np.zeros_like(part) for name, part in weights.items()}
            batch = order[start : start + BATCH].tolist()
            for i in batch:
                _add_slopes(slopes, asked[i], ends[i], weights, len(batch))
            moved.step(list(slopes.values()))
    return small(weights)


def _begun(row: Asked, rng: np.random.Generator) -> dict[str, Matrix]:
    inner = FEATURES + SHAPES + CUES + 1
    shapes = {"dense": (row.vectors.shape[1], 6), "cross": (row.points.shape[1], 2, len(row.asked)),
              "kinds": (3 * SHAPES, 2, CUES + 1), "outer": (HIDDEN, 2), "bias": (2,)}  # fmt: skip
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    return {**weights, "inner": (rng.normal(size=(inner, HIDDEN)) / inner**0.5).astype(np.float32)}


def _add_slopes(slopes: dict[str, Matrix], row: Asked, ends: Ints, weights: Mapping[str, Matrix], n: int) -> None:
    """The gradient of one row's loss, divided by n."""
    scores, hidden = scores_of(row, weights)
    peak = np.maximum(scores.max(axis=0), 0)
    powers = np.exp(scores - peak)
    slope = powers / (powers.sum(axis=0) + np.exp(-peak))
    if ends[0] >= 0:
        slope[ends, [0, 1]] -= 1
    slope = np.asarray(slope / n, np.float32)
    slopes["dense"] += row.vectors.T @ np.concatenate([slope, beside(slope, -1), beside(slope, 1)], axis=1)
    slopes["cross"] += (row.points.T @ slope)[:, :, None] * row.asked
    slopes["kinds"] += (row.shapes.T @ slope)[:, :, None] * row.cues
    slopes["outer"] += hidden.T @ slope
    slopes["inner"] += row.inner.T @ ((slope @ weights["outer"].T) * (1 - hidden * hidden))
    slopes["bias"] += slope.sum(axis=0)


def _said(
    rows: _Rows, i: int, asked: Asked, weights: Mapping[str, Matrix], lengths: Matrix, crossing: float
) -> tuple[Span, ...]:
    context = rows.contexts[rows.texts[i]][0]
    if not context.keys:
        return ()
    return span_of(rows.texts[i], context, best_span(scores_of(asked, weights)[0], context, lengths, crossing))
