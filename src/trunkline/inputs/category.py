"""The kind `category`: one of a few names; a missing cell is None."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

from trunkline.inputs.cell import clean, digest, unreadable
from trunkline.types import Refused

MAX_LENGTH = 10_000
_WHOLE = re.compile(r"-?(?:0|[1-9]\d*)\.0+")  # "3.0", but not "007" or "1.10": those are codes
_WORDS = {"True": "true", "False": "false"}


class Category:
    """Read as str without outer spaces. Numbers get one spelling: 3, 3.0, "3" and "3.0" are equal;
    so do true and "True". Only an empty cell is missing: "NA" and "none" can be names."""

    name: ClassVar[str] = "category"

    def read(self, raw: Any) -> str | Refused | None:
        """Refused: "too_long" (over 10,000 signs), "unreadable" (a list or an object)."""
        if raw is None:
            return None
        if isinstance(raw, str):
            return _from_text(raw)
        if isinstance(raw, bool):
            return "true" if raw else "false"
        if isinstance(raw, int | float | Decimal):
            if math.isnan(raw):
                return None
            return str(int(raw)) if math.isfinite(raw) and raw == int(raw) else str(raw)
        return unreadable(raw, "a name or a number")

    def key(self, value: str | None) -> bytes:
        return digest("category", b"\0missing" if value is None else value.encode())

    def schema(self) -> dict[str, Any]:
        return {
            "type": ["string", "number", "boolean", "null"],
            "maxLength": MAX_LENGTH,
            "description": "A name; null if unknown. A name not seen in training counts as unknown.",
            "examples": ["radio/television"],
        }

    def guess(self, cells: Sequence[Any]) -> float:
        """High for short cells that repeat."""
        seen = [str(cell) for cell in cells if cell is not None and str(cell).strip()]
        if not seen:
            return 0.0
        short = sum(len(cell) <= 60 for cell in seen) / len(seen)
        repeats = 1 - (len(set(seen)) - 1) / len(seen)
        return short * (0.25 + 0.5 * repeats)


def _from_text(raw: str) -> str | Refused | None:
    if len(raw) > MAX_LENGTH:
        return Refused("too_long", f"the name has {len(raw):,} signs; at most {MAX_LENGTH:,} are read")
    text = clean(raw).strip()
    if _WHOLE.fullmatch(text):
        whole = text.split(".")[0]
        return "0" if whole == "-0" else whole
    return _WORDS.get(text, text) or None
