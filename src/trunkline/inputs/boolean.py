"""The kind `bool`: yes or no as 1.0 or 0.0; a missing cell is nan."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, ClassVar

from trunkline.inputs.cell import digest, filled, is_missing, unreadable
from trunkline.types import Refused

_YES = frozenset({"true", "yes", "y", "t", "1", "1.0", "on", "是", "真", "有", "对", "對"})
_NO = frozenset({"false", "no", "n", "f", "0", "0.0", "off", "否", "假", "无", "無", "错", "錯"})


class Boolean:
    """Read as float: 1.0, 0.0 or nan. Words of English and Chinese, in any case; numbers 1 and 0."""

    name: ClassVar[str] = "bool"

    def read(self, raw: Any) -> float | Refused:
        """Refused "unreadable" for anything else."""
        if isinstance(raw, str):
            word = unicodedata.normalize("NFKC", raw).strip().casefold()
            if word in _YES:
                return 1.0
            if word in _NO:
                return 0.0
        elif isinstance(raw, bool | int | float | Decimal) and raw in (0, 1):
            return float(raw)
        return math.nan if is_missing(raw) else unreadable(raw, "yes or no")

    def key(self, value: float) -> bytes:
        return digest("bool", b"nan" if math.isnan(value) else str(int(value)).encode())

    def schema(self) -> dict[str, Any]:
        return {
            "type": ["boolean", "string", "number", "null"],
            "description": "true or false; yes, no, 1, 0, 是, 否 are understood too; null if unknown.",
            "examples": [True],
        }

    def guess(self, cells: Sequence[Any]) -> float:
        good = [self.read(cell) for cell in filled(cells)]
        if not good or any(isinstance(value, Refused) for value in good):
            return 0.0
        return 0.95 if len(set(good)) == 2 else 0.5
