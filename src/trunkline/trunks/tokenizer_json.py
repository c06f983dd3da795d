"""Tokenizers of the Hugging Face kind: tokenizer.json, run by `tokenizers`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from trunkline.engines.windows import Pieces
from trunkline.errors import MissingExtra, TrunkError

_SIGNS_PER_TOKEN = 64  # a text is cut to this many signs a token before anything looks at it
_MASKS = ("[MASK]", "<mask>")  # BERT's, and RoBERTa's and its kin's


class Told(NamedTuple):
    """What another program needs to do the same. json: tokenizer.json, without limit or padding; characters: of a text
    that are read; before, after: ids of the marks around a text's own."""

    json: str
    prefix: str
    max_tokens: int
    characters: int
    before: tuple[int, ...]
    after: tuple[int, ...]


class TokenizerJson:
    """Texts -> token ids with the tokenizer's own special tokens, cut to max_tokens.

    Raises TrunkError for a file that `tokenizers` can't read.
    """

    def __init__(self, path: Path, prefix: str, max_tokens: int) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise MissingExtra("tokenizers", "hub") from None
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # it raises bare Exception
            raise TrunkError("the tokenizer can't be loaded", where=str(path), found=str(error)) from error
        self._max_tokens = max_tokens
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.no_padding()
        self._prefix = prefix
        self._signs = max_tokens * _SIGNS_PER_TOKEN

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, prefix included."""
        cut = [self._prefix + text[: self._signs] for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(cut)]

    @cached_property
    def _whole(self) -> Any:
        """The tokenizer without its limit, made when tokens are first asked for."""
        whole = type(self._tokenizer).from_str(self._tokenizer.to_str())
        whole.no_truncation()
        return whole

    @cached_property
    def _frame(self) -> tuple[list[int], list[int]]:
        """(ids before a text's own, prefix included; ids after them)."""
        sample = self._whole.encode(self._prefix)
        own = [at for at, mark in enumerate(sample.special_tokens_mask) if not mark]
        first = sample.special_tokens_mask.index(0) if own else (len(sample.ids) + 1) // 2
        last = own[-1] + 1 if own else first
        return sample.ids[:last], sample.ids[last:]

    @property
    def room(self) -> int:
        """Tokens of a text that go through the model at a time."""
        return self._max_tokens - sum(map(len, self._frame))

    def told(self) -> Told:
        whole, sample = self._whole, self._whole.encode("a")
        own = [at for at, mark in enumerate(sample.special_tokens_mask) if not mark]
        before, after = tuple(sample.ids[: own[0]]), tuple(sample.ids[own[-1] + 1 :])
        return Told(whole.to_str(), self._prefix, self._max_tokens, self._signs, before, after)

    @property
    def mask(self) -> int | None:
        """Id of the token that stands for a hidden one; None without it."""
        found = (self._tokenizer.token_to_id(name) for name in _MASKS)
        return next((number for number in found if number is not None), None)

    def framed(self, ids: Sequence[int]) -> tuple[list[int], int]:
        """(ids with prefix and marks, the place of the first of them)."""
        before, after = self._frame
        return [*before, *ids, *after], len(before)

    def pieces(self, text: str) -> Pieces:
        """All tokens of a text, its prefix's left out."""
        found = self._whole.encode(self._prefix + text, add_special_tokens=False)
        skip = len(self._prefix)
        kept = [(i, a, b) for i, (a, b) in zip(found.ids, found.offsets, strict=True) if b > skip]
        starts = [max(0, a - skip) for _, a, _ in kept]
        return Pieces([i for i, _, _ in kept], starts, [b - skip for _, _, b in kept])
