"""The kind `text`: any Unicode text, Chinese and English alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from trunkline.inputs.blob import DataFile
from trunkline.inputs.cell import clean, digest, unreadable
from trunkline.types import Refused

MAX_BYTES = 1_000_000  # of UTF-8


class Text:
    """Read as str: NFC, line ends as newline, control characters gone; markup stays as it is."""

    name: ClassVar[str] = "text"

    def read(self, raw: Any) -> str | Refused:
        """Refused: "missing" (None, blank), "too_long" (over 1 MB of UTF-8), "unreadable" (not a str,
        a file that holds none)."""
        if raw is None:
            return Refused("missing", "the text is missing")
        if isinstance(raw, DataFile):
            return Refused("unreadable", f"{raw.path.name} can't be read as a text" + (f": {raw.why}" if raw.why else ""))
        if not isinstance(raw, str):
            return unreadable(raw, "a text")
        if len(raw) > MAX_BYTES:
            return _too_long(len(raw))
        text = clean(raw)
        if _blank(text):
            return Refused("missing", "the text is empty")
        if len(text) * 4 > MAX_BYTES and (size := len(text.encode())) > MAX_BYTES:
            return _too_long(size)
        return text

    def key(self, value: str) -> bytes:
        """Digest of the exact text: the feature cache answers with bit-equal vectors."""
        return digest("text", value.encode())

    def schema(self) -> dict[str, Any]:
        return {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_BYTES,
            "description": "Plain text, at most 1 MB of UTF-8.",
            "examples": ["My card still hasn't arrived.", "我的卡还没到"],
        }

    def guess(self, cells: Sequence[Any]) -> float:
        """High for long or many-worded cells that rarely repeat."""
        cells = [cell for cell in cells if not (isinstance(cell, DataFile) and cell.why)]
        texts = [cell for cell in cells if isinstance(cell, str) and cell.strip()]
        if not texts or len(texts) < sum(cell is not None and cell != "" for cell in cells):
            return 0.0
        distinct = len(set(texts)) / len(texts)
        wordy = sum(_wordy(text) for text in texts) / len(texts)
        return 0.2 + 0.75 * wordy * min(1.0, distinct + 0.2)


def _wordy(text: str) -> bool:
    """At least four words, or eight signs of a script that writes no spaces."""
    wide = sum(ch > "\u2e7f" for ch in text)
    return text.count(" ") >= 3 or wide >= 8


def _blank(text: str) -> bool:
    """Nothing but spaces and invisible marks (zero-width space, byte-order mark)."""
    if text.isspace() or not text:
        return True
    return len(text) < 64 and all(ch.isspace() or unicodedata.category(ch) == "Cf" for ch in text)


def _too_long(size: int) -> Refused:
    return Refused("too_long", f"the text has {size / 1e6:.1f} MB; at most 1 MB is read")


def places(raw: str) -> tuple[list[int], list[int]]:
    """(starts, ends): for each character of the text as `Text` reads it, the characters [start, end) of `raw` that it
    was made of. A letter and its marks, written apart, are one character of the text that is read."""
    starts: list[int] = []
    ends: list[int] = []
    for begin, end in _clusters(raw):
        read = clean(raw[begin:end])
        whole = read == raw[begin:end]
        starts += range(begin, end) if whole else [begin] * len(read)
        ends += range(begin + 1, end + 1) if whole else [end] * len(read)
    return starts, ends


def _clusters(raw: str) -> Iterator[tuple[int, int]]:
    """Parts of a text that are read apart as they are together."""
    begin = 0
    for at in range(1, len(raw) + 1):
        if at == len(raw) or _apart(raw[begin:at], raw[at]):
            yield begin, at
            begin = at


def _apart(before: str, sign: str) -> bool:
    """Whether a sign is a character of its own after these; one that is dropped goes with what stands before it."""
    own = clean(sign)
    return bool(own) and not unicodedata.combining(sign) and clean(before + sign) == clean(before) + own
