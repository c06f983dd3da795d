"""When two inputs count as the same: for the split, duplicates and leaks (never for the cache)."""

from __future__ import annotations

import re
import unicodedata
from hashlib import blake2b
from typing import Any

from trunkline.inputs.row import RowReader
from trunkline.types import Inputs

_SPACES = re.compile(r"\s+")
_NOT_WORD = re.compile(r"[\W_]+")


def normal(value: Any) -> Any:
    """Text in NFKC, case-folded, spaces collapsed; other values as they are."""
    if not isinstance(value, str):
        return value
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", value).casefold()).strip()


def letters(text: str) -> str:
    """What near-duplicates are judged by: letters and digits of `normal(text)`, words apart; the
    whole of it where there are none (emoji)."""
    plain = str(normal(text))
    return _NOT_WORD.sub(" ", plain).strip() or plain


class InputKeys:
    """Digests of rows by their normalised inputs; names and numbers are remembered per column."""

    def __init__(self, reader: RowReader) -> None:
        self._columns = reader.columns
        self._memo: list[dict[Any, bytes]] = [{} for _ in reader.columns]

    def of(self, inputs: Inputs) -> bytes:
        """16 bytes; equal for rows whose inputs are equal once normalised."""
        whole = blake2b(digest_size=16, person=b"inputs")
        for column, memo in zip(self._columns, self._memo, strict=True):
            whole.update(self._one(column.kind.key, memo, inputs[column.name]))
        return whole.digest()

    def _one(self, key: Any, memo: dict[Any, bytes], value: Any) -> bytes:
        if (isinstance(value, str) and len(value) > 40) or not isinstance(value, str | float | None):
            return bytes(key(normal(value)))
        if value not in memo:
            if len(memo) > 50_000:
                memo.clear()
            memo[value] = bytes(key(normal(value)))
        return memo[value]
