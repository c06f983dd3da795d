"""Answers of questions as parts of their context: as SQuAD's files write them, and as a correction does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from trunkline.errors import DataError
from trunkline.tasks.tags import Raw

WANTED = 'an answer and the character where it starts, {"text": [...], "answer_start": [...]} or [{"start", "end"}]'


class StartlessError(DataError):
    """An answer stands alone: nothing says where in its context it is."""


def answers_of(cell: Any, start: Any, context: str) -> list[Raw]:
    """The right answers of one row; none where the cell is empty. `start` is the cell of the column beside it.

    Raises StartlessError without a start, DataError: an answer outside its context, or that isn't where its start says; a start that is no number."""
    cell, start = _parsed(cell), _parsed(start)
    if isinstance(cell, Mapping) and "text" in cell:
        cell, start = cell["text"], cell.get("answer_start")
    if hasattr(cell, "tolist"):  # of Parquet
        cell = cell.tolist()
    if cell is None or cell != cell or cell in ("", []):
        return []
    if isinstance(cell, Mapping):
        cell = [cell]
    if isinstance(cell, list | tuple) and all(isinstance(one, Mapping) for one in cell):
        return [_between(one.get("start"), one.get("end"), context) for one in cell]
    texts = list(cell) if isinstance(cell, list | tuple) else [cell]
    starts = list(start) if isinstance(start, list | tuple) else start.tolist() if hasattr(start, "tolist") else [start]
    if all(begin is None or begin != begin or begin == "" for begin in starts):
        raise StartlessError("an answer has no start", found=repr(cell)[:40], wanted=WANTED)
    if len(texts) != len(starts):
        raise DataError("answers and their starts differ in number", found=f"{len(texts)} answers, {len(starts)} starts", wanted=WANTED)
    return [_at(str(text), _whole(begin), context) for text, begin in zip(texts, starts, strict=True)]


def _parsed(cell: Any) -> Any:
    """JSON text of a list or an object as what it says; anything else as it is."""
    text = cell.strip() if isinstance(cell, str) else ""
    numbers = text[:1] == "[" and text[1:-1].replace(",", "").replace(" ", "").isdigit()
    if numbers or text == "[]" or text[:2] in ('{"', "[{", '["'):
        with suppress(ValueError):  # an answer may begin like that
            return json.loads(text)
    return cell


def _whole(start: Any) -> int:
    try:
        number = float(start)
        if number == int(number):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise DataError("an answer's start is no whole number", found=repr(start)[:40], wanted=WANTED)


def _at(answer: str, start: int, context: str) -> Raw:
    end = start + len(answer)
    if start < 0 or end > len(context):
        found = f"{answer[:40]!r} at {start}-{end} of {len(context)} characters"
        raise DataError("an answer lies outside its context", found=found, wanted="0 <= start, end <= length", hint=_instead(answer, context))
    if context[start:end] != answer:
        found = f"{answer[:40]!r} at {start}, where the context has {context[start:end][:40]!r}"
        raise DataError("an answer is not where its start says", found=found, wanted="the same characters", hint=_instead(answer, context))
    return {"start": start, "end": end, "text": answer}


def _between(start: Any, end: Any, context: str) -> Raw:
    if not (type(start) is int and type(end) is int and 0 <= start < end <= len(context)):
        found = f"{start}-{end} of {len(context)} characters"
        raise DataError("an answer lies outside its context", found=found, wanted="0 <= start < end <= length")
    return {"start": start, "end": end, "text": context[start:end]}


def _instead(answer: str, context: str) -> str:
    at = context.find(answer)
    return f"it stands at {at}" if at >= 0 else "it stands nowhere in the context"
