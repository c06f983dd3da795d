"""What all input kinds share: which cells are missing, cleaning of strings, digests, refusals."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from trunkline.types import Refused

MISSING = frozenset({"", "-", "--", "—", "?", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "missing", "无", "空"})
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def is_missing(raw: Any) -> bool:
    """True for None, nan, and the usual ways of writing "nothing" where a number or date is meant."""
    if raw is None:
        return True
    if isinstance(raw, float):
        return math.isnan(raw)
    return isinstance(raw, str) and raw.strip().casefold() in MISSING


def clean(text: str) -> str:
    """NFC, line ends as newline, no NUL or other control characters, lone surrogates replaced."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x85", "\n")
    text = _SURROGATE.sub("\ufffd", _CONTROL.sub("", text))
    return unicodedata.normalize("NFC", text)


def digest(kind: str, data: bytes) -> bytes:
    """blake2b of 16 bytes; equal bytes of different kinds differ."""
    return blake2b(data, digest_size=16, person=kind.encode()[:16]).digest()


def unreadable(raw: Any, wanted: str) -> Refused:
    shown = f"{raw!r:.40}" if isinstance(raw, str | int | float | bool) else type(raw).__name__
    return Refused("unreadable", f"{shown} is not {wanted}")


def filled(cells: Sequence[Any]) -> list[Any]:
    """The cells that hold something."""
    return [cell for cell in cells if not is_missing(cell)]
