"""An input kind: DNA sequences."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from trunkline.types import Refused

_BASES = re.compile(r"[ACGTN]+")


class Dna:
    """Read as str of A, C, G, T and N; lower case and spaces are forgiven."""

    name: ClassVar[str] = "dna"

    def read(self, raw: Any) -> str | Refused:
        """Refused: "missing" (None, blank), "unreadable" (anything but bases)."""
        if raw is None or (isinstance(raw, str) and not raw.strip()):
            return Refused("missing", "the sequence is missing")
        bases = "".join(raw.split()).upper() if isinstance(raw, str) else ""
        if not _BASES.fullmatch(bases):
            return Refused("unreadable", f"{str(raw)[:40]!r} is not a sequence of A, C, G, T, N")
        return bases

    def key(self, value: str) -> bytes:
        return hashlib.blake2b(f"dna\0{value}".encode(), digest_size=16).digest()

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "description": "A, C, G, T, N.", "examples": ["ACGTTGCA"]}

    def guess(self, cells: Sequence[Any]) -> float:
        """Sure of long sequences; words such as "cat" are too short to count."""
        seen = [cell for cell in cells if cell is not None and str(cell).strip()]
        good = [cell for cell in seen if len(str(cell)) >= 8 and not isinstance(self.read(cell), Refused)]
        return 0.98 * (len(good) / len(seen)) ** 2 if seen else 0.0
