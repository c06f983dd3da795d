"""Rows to answers: read by kind, run the program, finish, decode. A bad row is an answer, never a 500."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from heapq import nlargest
from operator import itemgetter
from typing import Any, cast

from trunkline.errors import nearest
from trunkline.program import drive
from trunkline.serve.catalog import Served
from trunkline.serve.wire import WrongRequestError
from trunkline.types import Answer, Ask, Call, Inputs, Outputs, Program, Refused

TOP_SCORES = 5


def predict(
    served: Served, rows: Sequence[Any], ask: Ask, top: int | None = TOP_SCORES, start: int = 0
) -> list[dict[str, Any]]:
    """One answer per row, in order: {"id", "status", ...the task's fields}; rows count from `start`.

    Rows that can't be read answer status "error" with `error` and `message`. Raises WrongRequestError if
    no row has a wanted column, and whatever breaks in the head.
    """
    read = [read_row(served, row) for row in rows]
    _same_fault(read)
    good = [inputs for inputs in read if not isinstance(inputs, Refused)]
    answers = iter(_run(served, good, ask) if good else [])
    column = served.bundle.spec.data.id
    out = []
    for at, (row, inputs) in enumerate(zip(rows, read, strict=True), start):
        name = _id(row.get(column, at)) if column and isinstance(row, dict) else at
        answer = error_answer(inputs) if isinstance(inputs, Refused) else plain(next(answers), top)
        out.append({"id": name, **answer})
    return out


def read_row(served: Served, row: Any) -> Inputs | Refused:
    """A row's cells as Values, or the first reason why not."""
    if not isinstance(row, dict):
        return Refused("not_a_row", "a row is an object: {column: value}")
    for column in served.bundle.spec.inputs:
        if column not in row:
            return Refused("missing_column", f"the row has no column {column!r}; {_near(column, row)}")
    return served.reader.read(row)


def predict_many(
    served: Sequence[Served], inputs: Sequence[Inputs], ask: Ask, top: int | None = TOP_SCORES
) -> list[dict[str, Any] | Exception]:
    """Each product's answer to its own reading of one row; all programs meet in one pass of the trunk."""
    ends = drive([_program(one, [row]) for one, row in zip(served, inputs, strict=True)], ask)
    return [end if isinstance(end, Exception) else plain(_answers(end)[0], top) for end in ends]


def error_answer(refused: Refused) -> dict[str, Any]:
    return {"status": "error", "error": refused.code, "message": refused.message}


def plain(answer: Answer, top: int | None) -> dict[str, Any]:
    """An answer as JSON values; of long `scores` only the `top` highest."""
    out = {"status": answer.status, **answer.fields}
    scores = out.get("scores")
    if top is not None and isinstance(scores, Mapping) and len(scores) > top:
        out["scores"] = dict(nlargest(top, scores.items(), key=itemgetter(1)))
    return out


def _run(served: Served, inputs: Sequence[Inputs], ask: Ask) -> list[Answer]:
    (end,) = drive([_program(served, inputs)], ask)
    if isinstance(end, Exception):
        raise end
    return _answers(end)


def _program(served: Served, inputs: Sequence[Inputs]) -> Program:
    """The head's program prolonged to its answers, so that whatever breaks is this product's alone."""

    def run() -> Generator[Sequence[Call], Outputs, list[Answer]]:
        bundle = served.bundle
        prediction = yield from served.head.run(inputs)
        finished = served.task.finish(prediction, bundle.decision)
        return served.task.decode(finished, bundle.decision, bundle.labels)

    return cast(Program, run())


def _answers(end: Any) -> list[Answer]:
    return cast(list[Answer], end)


def _same_fault(read: Sequence[Inputs | Refused]) -> None:
    """A column that every row lacks is a mistake of the call, not of its rows."""
    first = read[0] if read else None
    if isinstance(first, Refused) and first.code == "missing_column" and all(one == first for one in read):
        what, _, hint = first.message.partition("; ")
        raise WrongRequestError(what.replace("the row has", "the rows have"), where="rows", hint=hint)


def _id(value: Any) -> Any:
    """The caller's own name of a row, as it can be sent back."""
    if isinstance(value, str | bool) or value is None or (isinstance(value, int) and abs(value) < 2**53):
        return value
    return str(value)[:200]


def _near(column: str, row: Mapping[str, Any]) -> str:
    return nearest(column, (str(name)[:80] for name in row))
