"""Spans that were found in a text as it was read, as places of the text that the caller sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trunkline.inputs.cell import clean
from trunkline.inputs.text import places
from trunkline.types import Inputs


def placed(answer: dict[str, Any], row: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """The answer, its `spans` counted in the caller's own characters; as it is where it has none, or the text was read
    as it was sent. In a matrix the row's column may have another name than the product's."""
    spans, column = answer.get("spans"), next(iter(inputs), "")
    if not spans or row.get(column) == inputs[column]:
        return answer
    cells = (cell for cell in (row.get(column), *row.values()) if isinstance(cell, str))
    raw = next((cell for cell in cells if clean(cell) == inputs[column]), None)
    if raw is None:
        return answer
    starts, ends = places(raw)
    moved = [(starts[span["start"]], ends[span["end"] - 1], span) for span in spans]
    return {**answer, "spans": [{**span, "start": a, "end": b, "text": raw[a:b]} for a, b, span in moved]}
