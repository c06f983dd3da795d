"""The kind `number`: one float64; a missing cell is nan."""

from __future__ import annotations

import math
import re
import struct
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

from trunkline.inputs.cell import digest, filled, is_missing, unreadable
from trunkline.types import Refused

_WANTED = "a number"
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:([, '])\d{3})(?:\1\d{3})*(?:\.\d*)?(?:[eE][+-]?\d+)?")
_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_SIGNS = str.maketrans({"\u2212": "-", "\u2019": "'", "\u202f": " ", "\u2009": " "})


class Number:
    """Read as float: 12, "1,234.5", "1 234", "12%" (0.12), "￥1,200", full-width digits; nan if missing."""

    name: ClassVar[str] = "number"

    def read(self, raw: Any) -> float | Refused:
        """Refused "unreadable" for infinities, decimal commas ("1,5" may mean two things) and words."""
        if isinstance(raw, str):
            return _from_text(raw)
        if raw is None:
            return math.nan
        if not isinstance(raw, bool | int | float | Decimal):
            return unreadable(raw, _WANTED)
        try:
            value = float(raw)
        except (OverflowError, ValueError):
            return unreadable(raw, "a number that fits float64")
        return unreadable(raw, "a finite number") if math.isinf(value) else value

    def key(self, value: float) -> bytes:
        """nan equals nan, and -0.0 equals 0.0."""
        return digest("number", b"nan" if math.isnan(value) else struct.pack("<d", value + 0.0))

    def schema(self) -> dict[str, Any]:
        return {
            "type": ["number", "string", "boolean", "null"],
            "description": "A number, or a text that holds one (1,234.5); null if unknown.",
            "examples": [12.5],
        }

    def guess(self, cells: Sequence[Any]) -> float:
        seen = filled(cells)
        good = sum(not isinstance(cell, bool) and not isinstance(self.read(cell), Refused) for cell in seen)
        return 0.9 * (good / len(seen)) ** 2 if seen else 0.0


def _from_text(raw: str) -> float | Refused:
    if is_missing(raw):
        return math.nan
    text = unicodedata.normalize("NFKC", raw).translate(_SIGNS).strip()
    percent = text.endswith("%")
    text = text.removesuffix("%").strip()
    sign = "-" if text.startswith("-") else ""
    text = sign + text.removeprefix("-").lstrip("$¥€£ ")
    if _PLAIN.fullmatch(text):
        value = float(text)
    elif _GROUPED.fullmatch(text):
        value = float(re.sub(r"[, ']", "", text))
    else:
        return unreadable(raw, _WANTED)
    if math.isinf(value):
        return unreadable(raw, "a finite number")
    return value / 100 if percent else value
