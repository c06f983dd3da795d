"""A text encoder in memory: tokenizer, then batches through a model, rows back in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from trunkline.engines import examples
from trunkline.engines.asked import check_asked
from trunkline.engines.batching import BUCKET, ROWS, TOKENS, Batch, batches, bucket_of
from trunkline.engines.settings import Settings
from trunkline.engines.threads import run_all
from trunkline.engines.windows import Pieces, Window, windows
from trunkline.types import Call, EngineCard, Tokens

_KEPT = 4_096  # texts whose ids wait for their turn
_CHUNK = 1024  # rows tokenised at once, so that memory doesn't grow with the call
_EXAMPLES = {8: 16, 16: 16, 64: 4}  # tokens of a text -> texts for a measurement: a word, a question, a review


class Tokenizer(Protocol):
    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids with prefix and marks, cut to the length limit."""
        ...


@runtime_checkable
class Locates(Protocol):
    """A tokenizer that says where its tokens stand: what the form `tokens` wants."""

    @property
    def room(self) -> int:
        """Tokens of a text that go through the model at a time, prefix and marks beside them."""
        ...

    def framed(self, ids: Sequence[int]) -> tuple[list[int], int]:
        """(ids with prefix and marks, the place of the first of them)."""
        ...

    def pieces(self, text: str) -> Pieces:
        """All tokens of a text, without prefix, marks or limit."""
        ...


class Encoder(Protocol):
    """The model behind the tokenizer. Its rows must not depend on their batch-mates."""

    bucket: int
    batch: Batch  # at a time, until this machine was measured
    most: Batch  # at a time, at most: beyond it a row's bits would depend on its batch-mates

    def pooled(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """(rows, padded) token ids and the true lengths -> (rows, dim)."""
        ...

    def tokens(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """The same -> (rows, padded, hidden)."""
        ...


class TextEngine:
    """An `Engine` for texts. Forms: `pooled` float32 (n, dim); `tokens` a `Tokens` a text,
    long ones in `windows`.

    The same text gives bit-equal output alone or in any batch, whatever the settings. measured_as: whose settings are
    good for it, if not its own (`engines.settings.measured_card`).
    """

    def __init__(self, card: EngineCard, tokenizer: Tokenizer, encoder: Encoder, measured_as: EngineCard | None = None) -> None:
        self.card, self.measured_as = card, measured_as or card
        self._tokenizer = tokenizer
        self._encoder = encoder
        self.settings = Settings(encoder.batch)
        self._kept: dict[str, list[int]] = {}  # ids from `cost` until they are computed

    def cost(self, item: str) -> int:
        """The padded length: tokens of the bucket in which the text is computed."""
        ids = self._kept.get(item)
        if ids is None:
            (ids,) = self._tokenizer.encode([item])
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[item] = ids
        return self._padded(ids)

    def examples(self) -> list[Call]:
        """For `engines.measure`; lengths over the limit are left out."""
        name = f"trunk:{self.card.id}"
        made = [examples.texts(self._cost_unkept, cost, count) for cost, count in _EXAMPLES.items()]
        return [Call(name, texts) for texts in made if texts]

    def run(self, call: Call) -> Any:
        """Raises TrunklineError for a form or options this trunk doesn't have."""
        check_asked(self.card, call)
        if call.form == "tokens":
            chunks = (call.items[at : at + _CHUNK] for at in range(0, len(call.items), _CHUNK))
            return [tokens for chunk in chunks for tokens in self._tokens(chunk)]
        out = np.empty((len(call.items), self.card.dim), np.float32)
        for start in range(0, len(call.items), _CHUNK):
            self._pooled(call.items[start : start + _CHUNK], out[start : start + _CHUNK])
        return out

    def stream(self, call: Call) -> Iterator[Any]:
        yield self.run(call)

    def _cost_unkept(self, text: str) -> int:
        return self._padded(*self._tokenizer.encode([text]))

    def _padded(self, ids: list[int]) -> int:
        return bucket_of(len(ids), self._encoder.bucket)

    def _batches(self, ids: Sequence[list[int]]) -> list[tuple[list[int], NDArray[Any], NDArray[Any]]]:
        """(row numbers, padded ids, lengths) of each batch."""
        made = []
        batch = self.settings.batch.within(self._encoder.most)
        for padded, rows in batches([len(row) for row in ids], batch, bucket=self._encoder.bucket):
            block = np.zeros((len(rows), padded), np.int64)
            lengths = np.array([len(ids[row]) for row in rows], np.int64)
            for at, row in enumerate(rows):
                block[at, : lengths[at]] = ids[row]
            made.append((rows, block, lengths))
        return made

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        known = [self._kept.pop(text, None) for text in texts] if self._kept else [None] * len(texts)
        new = iter(self._tokenizer.encode([text for text, ids in zip(texts, known, strict=True) if ids is None]))
        return [next(new) if ids is None else ids for ids in known]

    def _pooled(self, texts: Sequence[str], out: NDArray[np.float32]) -> None:
        def work(batch: tuple[list[int], NDArray[Any], NDArray[Any]]) -> None:
            rows, block, lengths = batch
            out[rows] = self._encoder.pooled(block, lengths)

        run_all(work, self._batches(self._ids(texts)), self.settings.threads)

    def _tokens(self, texts: Sequence[str]) -> list[Tokens]:
        tokenizer = self._tokenizer
        assert isinstance(tokenizer, Locates)  # or the card has no such form
        pieces = [tokenizer.pieces(text) for text in texts]
        plan = [(at, one) for at, piece in enumerate(pieces) for one in windows(len(piece.ids), tokenizer.room)]
        states: list[NDArray[np.float32]] = [np.empty((0, 0), np.float32)] * len(plan)
        framed = [tokenizer.framed(pieces[at].ids[one.start : one.stop]) for at, one in plan]

        def work(batch: tuple[list[int], NDArray[Any], NDArray[Any]]) -> None:
            rows, block, lengths = batch
            for row, found in zip(rows, self._encoder.tokens(block, lengths), strict=True):
                states[row] = _kept(found, framed[row][1], plan[row][1])

        run_all(work, self._batches([ids for ids, _ in framed]), self.settings.threads)
        parts: list[list[NDArray[np.float32]]] = [[] for _ in texts]
        for (at, _), found in zip(plan, states, strict=True):
            parts[at].append(found)
        return [self._joined(piece, part) for piece, part in zip(pieces, parts, strict=True)]

    def _joined(self, pieces: Pieces, parts: list[NDArray[np.float32]]) -> Tokens:
        vectors = np.concatenate(parts) if parts else np.empty((0, self.card.dim), np.float32)
        return Tokens(vectors, np.array(pieces.starts, np.int32), np.array(pieces.ends, np.int32))


def _kept(states: NDArray[np.float32], first: int, window: Window) -> NDArray[np.float32]:
    """The states that a window is kept for; a copy, since a view would keep the whole batch."""
    begin = first + window.keep - window.start
    return states[begin : begin + window.keep_stop - window.keep].copy()


class RowEncoder:
    """Base of encoders that take one row at a time, where a runtime mixes rows of a batch."""

    bucket = BUCKET
    batch = Batch()  # rows that come together are taken together, then computed one after another
    most = Batch(rows=1, tokens=TOKENS[1])


class BatchEncoder:
    """Base of encoders whose runtime keeps the rows of a batch apart."""

    bucket = BUCKET
    batch = Batch()
    most = Batch(ROWS[1], TOKENS[1])
