"""The method `token_linear`: tags of a text's atoms by a softmax over frozen token vectors and the signs about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.threads import run_all
from trunkline.errors import TrainError
from trunkline.heads.token_linear import (
    TURNS,
    Atoms,
    TokenLinearHead,
    allowed,
    atoms_of,
    log_shares,
    signs_of,
    spans_of,
    vectors_of,
)
from trunkline.methods.adamw import AdamW
from trunkline.methods.dense_rows import check_budget
from trunkline.methods.settings import NoSettings, read_settings
from trunkline.spec import Spec
from trunkline.spec.model import trunk_of
from trunkline.types import Ask, Call, Candidate, Examples, Floats, Folds, Ints, Prediction, Refused, Span

MOST_BYTES = 4_000_000_000  # of token vectors held while learning
EPOCHS, BATCH, RATE, DECAY = 8, 512, 3e-3, 1e-2
MANY = 50_000  # atoms, from which three folds do
LARGEST = 15  # powers of two of hashed signs, at most


@dataclass(frozen=True)
class _Rows:
    """All atoms of all rows: vectors float32 (m + 1, dim), the last one zero; signs (m, features); tags (m,);
    begins (n + 1,) where each row's atoms begin."""

    texts: list[str]
    atoms: list[Atoms]
    vectors: NDArray[np.float32]
    signs: Ints
    tags: Ints
    begins: Ints


class TokenLinear:
    name: ClassVar[str] = "token_linear"

    def check(self, spec: Spec) -> None:
        read_settings(spec, self.name, NoSettings)

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        if spec.task != "tag":
            return Refused("cannot", f"{self.name} finds spans of a text (task tag), not {spec.task}")
        return Refused("cannot", f"{self.name} needs a text trunk") if trunk_of(spec, "text") is None else None

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Raises TrainError: too many tokens to hold, or a head over its budget."""
        (column,), engine = spec.inputs, f"trunk:{trunk_of(spec, 'text')}"
        tags = 1 + 4 * len(examples.labels)
        buckets, rows = _gathered(spec, examples, ask, engine, column, tags)
        middle = rows.vectors[:-1].mean(axis=0, dtype=np.float64).astype(np.float32)
        spread = (1 / np.maximum(rows.vectors[:-1].std(axis=0, dtype=np.float64), 1e-6)).astype(np.float32)
        rows.vectors[:-1] = (rows.vectors[:-1] - middle) * spread
        cut = folds % 3 if len(rows.tags) > MANY else folds
        every = np.unique(cut).tolist()
        owner = np.repeat(np.arange(len(examples)), np.diff(rows.begins))
        jobs = [np.flatnonzero(cut[owner] != fold) for fold in every] + [np.arange(len(rows.tags))]
        *parts, whole = run_all(lambda at: _learn(rows, at, tags, buckets, spec.seed), jobs)
        values = np.empty(len(examples), object)
        for fold, part in zip(every, parts, strict=True):
            for i in np.flatnonzero(cut == fold).tolist():
                values[i] = _said(rows, i, part, allowed(len(examples.labels)))
        head = TokenLinearHead(engine, column, middle, spread, *whole)
        check_budget(head, spec, self.name)
        return Candidate(head, Prediction(values), {"signs": buckets})


def _gathered(
    spec: Spec, examples: Examples, ask: Ask, engine: str, column: str, tags: int
) -> tuple[int, _Rows]:
    texts = [row[column] for row in examples.inputs]
    (outputs,) = ask([Call(engine, texts, "tokens")])
    dim = next((one.vectors.shape[1] for one in outputs if len(one.vectors)), 1)
    room = spec.method.head_mb * 0.95e6 / 2 / tags - TURNS * dim
    buckets = 2 ** min(LARGEST, int(np.log2(max(room, 64))))
    atoms = [atoms_of(text) for text in texts]
    count = sum(len(one.words) for one in atoms)
    if count * dim * 4 > MOST_BYTES:
        raise TrainError(
            "these texts have too many tokens to learn from at once",
            found=f"{count * dim * 4 / 1e9:.1f} GB of vectors",
            wanted=f"at most {MOST_BYTES / 1e9:.0f} GB",
            hint="fewer or shorter rows",
        )
    vectors = np.zeros((count + 1, dim), np.float32)
    begins = np.concatenate([[0], np.cumsum([len(one.words) for one in atoms])]).astype(np.int64)
    for i, (own, tokens) in enumerate(zip(atoms, outputs, strict=True)):
        if own.words:
            vectors[begins[i] : begins[i + 1]] = vectors_of(tokens, own, dim)
    signs = np.concatenate([signs_of(own.words, buckets) for own in atoms if own.words])
    marked = np.concatenate([tags_of(own, spans) for own, spans in zip(atoms, examples.target, strict=True)])
    return buckets, _Rows(texts, atoms, vectors, signs, marked, begins)


def tags_of(atoms: Atoms, spans: tuple[Span, ...]) -> Ints:
    """(atoms,) tags, as `heads.token_linear.NAMES` numbers them; an edge within an atom takes the whole of it."""
    tags = np.zeros(len(atoms.words), np.int64)
    for span in spans:
        low = int(np.searchsorted(atoms.ends, span.start, "right"))
        high = int(np.searchsorted(atoms.starts, span.end, "left"))
        if high <= low or tags[low:high].any():
            continue
        first = 1 + 4 * span.label
        tags[low:high] = first + 1
        tags[low], tags[high - 1] = first, first + 2
        if high - low == 1:
            tags[low] = first + 3
    return tags


def _around(rows: _Rows, at: Ints, before: Ints, after: Ints) -> NDArray[np.float32]:
    return np.concatenate([rows.vectors[at], rows.vectors[before[at]], rows.vectors[after[at]]], axis=1)


def _neighbours(rows: _Rows) -> tuple[Ints, Ints]:
    """(m,) the atoms before and after in the same row; the zero row at its edges."""
    m = len(rows.tags)
    before, after = np.arange(-1, m - 1), np.arange(1, m + 1)
    filled = np.diff(rows.begins) > 0
    before[rows.begins[:-1][filled]] = m
    after[rows.begins[1:][filled] - 1] = m
    return before, after


Weights = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]  # dense, signs, bias


def _learn(rows: _Rows, at: Ints, tags: int, buckets: int, seed: int) -> Weights:
    """Softmax regression by `AdamW`, on atoms `at`."""
    from scipy import sparse

    rng = np.random.default_rng(seed)
    before, after = _neighbours(rows)
    sizes = (TURNS * rows.vectors.shape[1], buckets, 1)
    parts = [np.zeros((size, tags), np.float32) for size in sizes]
    moved = AdamW(parts, EPOCHS * -(-len(at) // BATCH), RATE, DECAY)
    for _ in range(EPOCHS):
        order = rng.permutation(at)
        for start in range(0, len(order), BATCH):
            own = order[start : start + BATCH]
            dense, held = _around(rows, own, before, after), rows.signs[own]
            ends = np.arange(len(own) + 1) * held.shape[1]
            hot = sparse.csr_matrix((np.ones(held.size, np.float32), held.ravel(), ends), (len(own), buckets))
            slope = np.exp(log_shares(dense @ parts[0] + hot @ parts[1] + parts[2])).astype(np.float32)
            slope[np.arange(len(own)), rows.tags[own]] -= 1
            slope /= len(own)
            moved.step([dense.T @ slope, hot.T @ slope, slope.sum(axis=0, keepdims=True)])
    small = [part.astype(np.float16).astype(np.float32) for part in parts[:2]]
    return small[0], small[1], parts[2][0]


def _said(rows: _Rows, i: int, weights: Weights, may: NDArray[np.bool_]) -> tuple[Span, ...]:
    at = np.arange(rows.begins[i], rows.begins[i + 1])
    if not len(at):
        return ()
    before, after = at - 1, at + 1
    before[0] = after[-1] = len(rows.tags)
    around: Floats = np.concatenate([rows.vectors[at], rows.vectors[before], rows.vectors[after]], axis=1)
    scores = around @ weights[0] + weights[1][rows.signs[at]].sum(axis=1) + weights[2]
    return spans_of(rows.texts[i], rows.atoms[i], log_shares(scores), may)
