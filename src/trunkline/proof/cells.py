"""How a customer's cell is shown: as text, short, whole characters."""

from __future__ import annotations

from typing import Any

LONGEST = 400


def shown(cell: Any) -> str:
    """Text of a Value; long ones keep their beginning."""
    if cell is None or (isinstance(cell, float) and cell != cell):
        return ""
    text = f"{cell:.6g}" if isinstance(cell, float) else str(cell)
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
