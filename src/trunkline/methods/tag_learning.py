"""How a trunk learns to tag: rows as windows of tokens, their atoms' tags, and the share of entities missed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.windows import windows
from trunkline.heads.token_linear import (
    TURNS,
    Atoms,
    TokenLinearHead,
    allowed,
    atoms_of,
    log_shares,
    spans_of,
)
from trunkline.methods.dense_rows import texts_of
from trunkline.methods.learning import Goal, Index, Learning, answered_each
from trunkline.methods.token_linear import tags_of
from trunkline.metrics.spans import span_f1
from trunkline.types import Head, Ints


class _Row(NamedTuple):
    """framed: ids of each window. Token `place` of the windows side by side, each `width` long, counts `share` in `atom`."""

    framed: list[list[int]]
    window: Ints
    offset: Ints
    atom: Ints
    share: NDArray[np.float32]
    atoms: int


def tag_inputs(tokenizer: Any, texts: Sequence[str]) -> tuple[Any, NDArray[np.int64]]:
    """(`Material.inputs`, tokens of each row)."""
    rows = [_row(tokenizer, text, atoms_of(text)) for text in texts]

    def inputs(at: Index, rng: np.random.Generator | None) -> dict[str, Any]:
        import torch

        from trunkline.networks.text_encoder import padded

        some = [rows[i] for i in at.tolist()]
        ids, mask = padded([window for row in some for window in row.framed])
        windows_before = np.cumsum([0, *(len(row.framed) for row in some)])[:-1]
        begins = np.cumsum([0, *(row.atoms for row in some)])
        place = [(row.window + first) * ids.shape[1] + row.offset for row, first in zip(some, windows_before, strict=True)]
        before, after = np.arange(-1, begins[-1] - 1), np.arange(1, begins[-1] + 1)
        filled = np.diff(begins) > 0
        before[begins[:-1][filled]] = after[begins[1:][filled] - 1] = begins[-1]
        arrays = {
            "atom": np.concatenate([row.atom + first for row, first in zip(some, begins, strict=False)]),
            "place": np.concatenate(place), "share": np.concatenate([row.share for row in some]),
            "before": before, "after": after,
        }  # fmt: skip
        return {"ids": ids, "mask": mask, **{name: torch.from_numpy(array) for name, array in arrays.items()}}

    return inputs, np.array([max(map(len, row.framed)) for row in rows])


def _row(tokenizer: Any, text: str, atoms: Atoms) -> _Row:
    """Each atom is the mean of the tokens that share characters with it, as `heads.token_linear.vectors_of` has it."""
    pieces = tokenizer.pieces(text)
    plan = windows(len(pieces.ids), tokenizer.room)
    starts, ends = np.array(pieces.starts, np.int64), np.array(pieces.ends, np.int64)
    framed, window, offset = [], np.zeros(len(starts), np.int64), np.zeros(len(starts), np.int64)
    for number, one in enumerate(plan):
        ids, first = tokenizer.framed(pieces.ids[one.start : one.stop])
        framed.append(ids)
        window[one.keep : one.keep_stop] = number
        offset[one.keep : one.keep_stop] = first - one.start + np.arange(one.keep, one.keep_stop)
    some = np.flatnonzero(starts < ends)
    low = np.searchsorted(ends[some], atoms.starts, "right")
    high = np.maximum(np.searchsorted(starts[some], atoms.ends, "left"), low)
    held = high - low
    atom = np.repeat(np.arange(len(held)), held)
    token = some[np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)]).astype(np.int64)] if held.sum() else some[:0]
    share = (1 / np.maximum(held, 1)).astype(np.float32)[atom]
    return _Row(framed or [tokenizer.framed([])[0]], window[token], offset[token], atom, share, len(held))


class TagLearning(Learning):
    """The answers are spans; the network scores the tags of each atom."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.texts = texts_of(self.spec, self.examples)
        self.atoms = [atoms_of(text) for text in self.texts]
        self.tags = [tags_of(atoms, spans) for atoms, spans in zip(self.atoms, self.examples.target, strict=True)]
        self.may = allowed(len(self.examples.labels))

    @staticmethod
    def counted(batch: Any) -> int:
        """Atoms: a text's tags weigh by how many they are."""
        return len(batch[1])

    @property
    def outputs(self) -> int:
        return 1 + 4 * len(self.examples.labels)

    def goal(self, rows: Index) -> Goal:
        import torch

        from trunkline.training.losses import balanced, loss_of

        def target(at: Index) -> Any:
            return torch.from_numpy(np.concatenate([self.tags[i] for i in at.tolist()]))

        counts = np.bincount(np.concatenate([self.tags[i] for i in rows.tolist()]), minlength=self.outputs)
        return Goal(target, loss_of(self.settings, "softmax", balanced(torch.from_numpy(counts)) if self.settings.balance else None))

    def values(self, module: Any, rows: Index) -> Sequence[Any]:
        """A tuple of spans for each row."""
        scores = answered_each(module, self.material, rows, [len(self.tags[at]) for at in rows.tolist()])
        return [
            spans_of(self.texts[at], self.atoms[at], log_shares(own), self.may) if len(own) else ()
            for at, own in zip(rows.tolist(), scores, strict=True)
        ]

    def stacked(self, values: Sequence[Any]) -> NDArray[Any]:
        found = np.empty(len(values), object)
        found[:] = values
        return found

    def judged(self, module: Any, rows: Index, goal: Goal) -> dict[str, float]:
        """loss: what entity F1 lacks to 1, since that is what the product is judged by."""
        said = self.stacked(self.values(module, rows))
        found = float(span_f1(self.examples.target[rows], said))
        found = 1.0 if np.isnan(found) else found  # nothing is there, nothing was said
        return {"loss": 1 - found, "entity_f1": found}


def tag_head(engine: str, column: str, weights: NDArray[np.float32], bias: NDArray[np.float32]) -> Head:
    """The head `token_linear` on the adapted trunk's tokens as they come, without hashed signs."""
    hidden = len(weights) // TURNS
    plain = np.zeros(hidden, np.float32), np.ones(hidden, np.float32)
    small = weights.astype(np.float16).astype(np.float32)  # as it is stored
    return TokenLinearHead(engine, column, *plain, small, np.zeros((1, len(bias)), np.float32), bias)
