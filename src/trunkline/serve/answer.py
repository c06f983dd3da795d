"""Rows to answers: read by kind, run the program, finish, decode. A bad row is an answer, never a 500."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from heapq import nlargest
from operator import itemgetter
from typing import Any

from trunkline.errors import RequestError, TrunklineError
from trunkline.heads.stack import stackable
from trunkline.program import one, together
from trunkline.serve.catalog import Served
from trunkline.serve.placed import placed
from trunkline.serve.wire import WrongRequestError
from trunkline.tasks.common import row_by_row
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
    read = [reading(served, row) for row in rows]
    _same_fault(read)
    good = [inputs for inputs in read if not isinstance(inputs, Refused)]
    answers = iter((yield from _answers(served, good, top)) if good else [])
    column = served.bundle.spec.data.id
    out = []
    for at, (row, inputs) in enumerate(zip(rows, read, strict=True), start):
        name = own_id(row.get(column, at)) if column and isinstance(row, dict) else at
        if isinstance(inputs, Refused):
            out.append({"id": name, **error_answer(inputs)})
            continue
        answer = next(answers)
        said = placed(plain(answer, top), row, inputs) if isinstance(answer, Answer) else error_answer(answer)
        out.append({"id": name, **said})
    return out


def answering_many(
    served: Sequence[Served], inputs: Sequence[Inputs], top: int | None = TOP_SCORES
) -> Steps[list[dict[str, Any]]]:
    """Each product's answer to its own reading of one row; all programs meet in one pass of the trunk, and products
    whose heads are alike are applied together."""
    stacks = _stacks(served, inputs)
    ends = yield from together([_stacked([served[i] for i in at], [inputs[i] for i in at], top) for at in stacks])
    out: list[dict[str, Any]] = [{}] * len(served)
    for at, end in zip(stacks, ends, strict=True):
        for i, found in zip(at, [end] * len(at) if isinstance(end, Exception) else end, strict=True):
            out[i] = error_answer(broken(found)) if isinstance(found, Exception) else plain(found, top)
    return out


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


def reading(served: Served, row: Any) -> Inputs | Refused:
    """The row as the reader reads it. A file may leave an absent cell out; a caller names every column."""
    if not isinstance(row, dict):
        return Refused("not_a_row", "a row is an object: {column: value}")
    for column in served.bundle.spec.inputs:
        if column not in row:
            return Refused("missing_column", f"the row has no column {column!r}; it has {_columns(row)}")
    return served.reader.read(row)


def _answers(served: Served, inputs: Sequence[Inputs], top: int | None) -> Steps[list[Answer | Refused]]:
    """All rows together; if that breaks, each by itself, so that only the rows at fault fail."""
    try:
        return list((yield from _head([served], inputs, top)))
    except RequestError:
        raise  # refused by the server, not broken by a row
    except Exception:
        if len(inputs) == 1:
            raise
        ends = yield from together([_head([served], [row], top) for row in inputs])
        if all(isinstance(end, Exception) for end in ends):
            raise
    return [broken(end) if isinstance(end, Exception) else end[0] for end in ends]


def _stacks(served: Sequence[Served], inputs: Sequence[Inputs]) -> list[list[int]]:
    """Places of products that can be applied together to their readings of one row."""
    alike: dict[Hashable, list[int]] = {}
    for i, (each, row) in enumerate(zip(served, inputs, strict=True)):
        alike.setdefault(_likeness(each, row) or i, []).append(i)
    return list(alike.values())


def _likeness(served: Served, row: Inputs) -> Hashable | None:
    try:
        head = served.head
        likeness = head.likeness([row]) if stackable(head) and row_by_row(served.task) else None
    except Exception:  # noqa: BLE001 - it says so again where its answer is made
        return None
    return likeness and (type(head), type(served.task), likeness)


def _stacked(
    served: Sequence[Served], inputs: Sequence[Inputs], top: int | None
) -> Steps[Sequence[Answer | Exception]]:
    """One answer for each of a stack; if that breaks, each by itself, so that only the products at fault fail."""
    try:
        return (yield from _head(served, inputs[:1], top))
    except Exception:
        if len(served) == 1:
            raise
    alone = [_head([each], [row], top) for each, row in zip(served, inputs, strict=True)]
    ends = yield from together(alone)
    return [end if isinstance(end, Exception) else end[0] for end in ends]


def _head(served: Sequence[Served], inputs: Sequence[Inputs], top: int | None) -> Steps[list[Answer]]:
    """The program of a head, or of a stack of them, prolonged to its answers: all rows by the first, then by the next
    ones. So whatever breaks is these products' alone."""
    first = served[0]
    heads = [each.head for each in served]
    stack: Any = type(heads[0])
    prediction = yield from (heads[0].run(inputs) if len(heads) == 1 else stack.run_stack(heads, inputs))
    task, decision = first.task, first.bundle.decision
    if not row_by_row(task):
        return task.decode(task.finish(prediction, decision), decision, first.bundle.labels)
    bundles = [each.bundle for each in served for _ in inputs]
    decisions = [bundle.decision for bundle in bundles]
    finished = task.finish_each(prediction, decisions)
    return task.decode_each(finished, decisions, [bundle.labels for bundle in bundles], top)


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
