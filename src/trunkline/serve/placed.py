"""Spans that were found in a text as it was read, as places of the text that the caller sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trunkline.inputs.cell import clean
from trunkline.inputs.text import places
from trunkline.types import Inputs


def placed(answer: dict[str, Any], row: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """The answer, its `spans`, or its own `start` and `end`, counted in the caller's own characters; as it is where it
    has none, or the text was read as it was sent."""
    if answer.get("spans"):
        raw = _raw(next(iter(inputs)), row, inputs)
        return answer if raw is None else {**answer, "spans": _moved(answer["spans"], raw, "text")}
    if isinstance(answer.get("answer"), str) and isinstance(answer.get("start"), int):  # of the last text: the context
        raw = _raw(list(inputs)[-1], row, inputs)
        return answer if raw is None else _moved([answer], raw, "answer")[0]
    return answer


def moved(reason: dict[str, Any], row: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """A reason of an explanation, likewise: its `start` and `end` in its own column."""
    if "start" not in reason:
        return reason
    raw = _raw(reason["column"], row, inputs)
    return reason if raw is None else _moved([reason], raw, "name")[0]


def _raw(column: str, row: Mapping[str, Any], inputs: Inputs) -> str | None:
    """The column's text as it was sent, where it was read as another. In a matrix the row's column may have another name
    than the product's."""
    if row.get(column) == inputs[column]:
        return None
    cells = (cell for cell in (row.get(column), *row.values()) if isinstance(cell, str))
    return next((cell for cell in cells if clean(cell) == inputs[column]), None)


def _moved(spans: Sequence[Mapping[str, Any]], raw: str, name: str) -> list[dict[str, Any]]:
    starts, ends = places(raw)
    moved = [(starts[span["start"]], ends[span["end"] - 1], span) for span in spans]
    return [{**span, "start": a, "end": b, name: raw[a:b]} for a, b, span in moved]
