"""Rows to answers with their reasons: `trunkline.explain` on what is served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trunkline.errors import RequestError
from trunkline.explain.subject import Subject, switched_off
from trunkline.explain.why import Asked, Explanation, explaining
from trunkline.program import one, together
from trunkline.serve.answer import TOP_SCORES, answering, error_answer, reading
from trunkline.serve.catalog import Served
from trunkline.serve.placed import moved
from trunkline.types import Ask, Inputs, Refused, Steps

CELL = 80  # signs of a table cell that are told
ROWS = 10  # of a call: each may cost as much as some 30 answers


@dataclass(frozen=True)
class Told:
    """answers: as `answering` gives them, each with `why`, or with `why_not` = {"error", "message"}. rows: computed."""

    answers: list[dict[str, Any]]
    rows: int


def why(served: Served, rows: Sequence[Any], ask: Ask, asked: Asked, start: int = 0) -> Told:
    """`answering_why` driven to its end, for callers without a server."""
    return one(answering_why(served, rows, asked, start=start), ask)


def answering_why(served: Served, rows: Sequence[Any], asked: Asked, top: int | None = TOP_SCORES, start: int = 0) -> Steps[Told]:
    """Each row's answer, as it is given without being explained, and its explanation; all rows meet in one pass.

    Raises NotExplainedError, RequestError for what is asked, WrongRequestError where no row has a wanted column.
    """
    subject = subject_of(served)
    good = [(at, inputs) for at, row in enumerate(rows) if not isinstance(inputs := reading(served, row), Refused)]
    reasons = [explaining(subject, inputs, asked) for _, inputs in good]
    programs: list[Steps[Any]] = [answering(served, rows, top, start), *reasons]
    answers, *ends = yield from together(programs)
    if isinstance(answers, Exception):
        raise answers
    spent = len(rows)
    for (at, inputs), end in zip(good, ends, strict=True):
        if isinstance(end, RequestError):
            raise end
        if isinstance(end, Exception):  # answered with the same error already
            continue
        found = end[1]
        spent += 0 if isinstance(found, Refused) else found.rows
        answers[at] |= _told(found, rows[at], inputs)
    return Told(answers, spent)


def subject_of(served: Served) -> Subject:
    """Raises NotExplainedError for a product whose owner doesn't want it, BundleError."""
    bundle = served.bundle
    if not bundle.spec.explain:
        raise switched_off(served.name)
    return Subject(served.head, served.task, bundle.decision, bundle.labels, bundle.spec.inputs)


def _told(found: Explanation | Refused, row: Any, inputs: Inputs) -> dict[str, Any]:
    if isinstance(found, Refused):
        refused = error_answer(found)
        return {"why_not": {name: refused[name] for name in ("error", "message")}}
    told = found.as_dict()
    told["reasons"] = [_as_sent(reason, row, inputs) for reason in told["reasons"]]
    return {"why": told}


def _as_sent(reason: dict[str, Any], row: Any, inputs: Inputs) -> dict[str, Any]:
    """With the places of the text, or the table cell, that the caller sent."""
    cell = row.get(reason["column"])
    if reason["kind"] != "column" or cell is None:
        return moved(reason, row, inputs)
    return {**reason, "name": f"{reason['column']} = {str(cell)[:CELL]}"}
