"""Rows to answers: read by kind, run the program, finish, decode. A bad row is an answer, never a 500."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import nlargest
from operator import itemgetter
from typing import Any

from trunkline.errors import RequestError, TrunklineError
from trunkline.program import one, together
from trunkline.serve.catalog import Served
from trunkline.serve.wire import WrongRequestError
from trunkline.types import Answer, Ask, Inputs, Refused, Steps

TOP_SCORES = 5


def predict(
    served: Served, rows: Sequence[Any], ask: Ask, top: int | None = TOP_SCORES, start: int = 0
) -> list[dict[str, Any]]:
    """`answering` driven to its end, for callers without a server."""
    return one(answering(served, rows, top, start), ask)


def answering(
    served: Served, rows: Sequence[Any], top: int | None = TOP_SCORES, start: int = 0
) -> Steps[list[dict[str, Any]]]:
    """One answer per row, in order: {"id", "status", ...the task's fields}; rows count from `start`.

    Rows that can't be read, or on which the head breaks, answer status "error" with `error` and `message`.
    Raises WrongRequestError if no row has a wanted column, and what breaks on all rows.
    """
    read = [_read(served, row) for row in rows]
    _same_fault(read)
    good = [inputs for inputs in read if not isinstance(inputs, Refused)]
    answers = iter((yield from _answers(served, good)) if good else [])
    column = served.bundle.spec.data.id
    out = []
    for at, (row, inputs) in enumerate(zip(rows, read, strict=True), start):
        name = own_id(row.get(column, at)) if column and isinstance(row, dict) else at
        answer = inputs if isinstance(inputs, Refused) else next(answers)
        out.append({"id": name, **(plain(answer, top) if isinstance(answer, Answer) else error_answer(answer))})
    return out


def answering_many(
    served: Sequence[Served], inputs: Sequence[Inputs], top: int | None = TOP_SCORES
) -> Steps[list[dict[str, Any]]]:
    """Each product's answer to its own reading of one row; all programs meet in one pass of the trunk."""
    ends = yield from together([_head(each, [row]) for each, row in zip(served, inputs, strict=True)])
    return [error_answer(broken(end)) if isinstance(end, Exception) else plain(end[0], top) for end in ends]


def broken(error: Exception) -> Refused:
    """What went wrong on a row, for the one who sent it."""
    if isinstance(error, TrunklineError):
        return Refused("broken", error.what)
    return Refused("broken", f"the product broke on this row ({type(error).__name__})")


def error_answer(refused: Refused) -> dict[str, Any]:
    return {"status": "error", "error": refused.code, "message": refused.message}


def plain(answer: Answer, top: int | None) -> dict[str, Any]:
    """An answer as JSON values; of long `scores` only the `top` highest."""
    out = {"status": answer.status, **answer.fields}
    scores = out.get("scores")
    if top is not None and isinstance(scores, Mapping) and len(scores) > top:
        out["scores"] = dict(nlargest(top, scores.items(), key=itemgetter(1)))
    return out


def _read(served: Served, row: Any) -> Inputs | Refused:
    """The row as the reader reads it. A file may leave an absent cell out; a caller names every column."""
    if not isinstance(row, dict):
        return Refused("not_a_row", "a row is an object: {column: value}")
    for column in served.bundle.spec.inputs:
        if column not in row:
            return Refused("missing_column", f"the row has no column {column!r}; it has {_columns(row)}")
    return served.reader.read(row)


def _answers(served: Served, inputs: Sequence[Inputs]) -> Steps[list[Answer | Refused]]:
    """All rows together; if that breaks, each by itself, so that only the rows at fault fail."""
    try:
        return list((yield from _head(served, inputs)))
    except RequestError:
        raise  # refused by the server, not broken by a row
    except Exception:
        if len(inputs) == 1:
            raise
        ends = yield from together([_head(served, [row]) for row in inputs])
        if all(isinstance(end, Exception) for end in ends):
            raise
    return [broken(end) if isinstance(end, Exception) else end[0] for end in ends]


def _head(served: Served, inputs: Sequence[Inputs]) -> Steps[list[Answer]]:
    """The head's program prolonged to its answers, so that whatever breaks is this product's alone."""
    bundle = served.bundle
    prediction = yield from served.head.run(inputs)
    finished = served.task.finish(prediction, bundle.decision)
    return served.task.decode(finished, bundle.decision, bundle.labels)


def _same_fault(read: Sequence[Inputs | Refused]) -> None:
    """A column that every row lacks is a mistake of the call, not of its rows."""
    first = read[0] if read else None
    if isinstance(first, Refused) and first.code == "missing_column" and all(one == first for one in read):
        what, _, columns = first.message.partition("; it has ")
        raise WrongRequestError(what.replace("the row has", "the rows have"), where="rows", found=columns)


def own_id(value: Any) -> Any:
    """The caller's own name of a row, as it can be sent back."""
    if isinstance(value, str | bool) or value is None or (isinstance(value, int) and abs(value) < 2**53):
        return value
    return str(value)[:200]


def _columns(row: Mapping[str, Any]) -> str:
    return ", ".join(repr(str(name)[:80]) for name in list(row)[:5]) or "none"
