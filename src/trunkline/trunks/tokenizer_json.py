"""Tokenizers of the Hugging Face kind: tokenizer.json, run by `tokenizers`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trunkline.errors import MissingExtra, TrunkError

_SIGNS_PER_TOKEN = 64  # a text is cut to this many signs a token before anything looks at it


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
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.no_padding()
        self._prefix = prefix
        self._signs = max_tokens * _SIGNS_PER_TOKEN

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, prefix included."""
        cut = [self._prefix + text[: self._signs] for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(cut)]
