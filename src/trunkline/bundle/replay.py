"""A few rows with the answers that a bundle gave when it was frozen: replayed wherever it is loaded.

Rows of the proof are customers' rows and stay out of an export; rows made from the input kinds' own examples
travel with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import orjson
from msgspec import Struct

from trunkline.inputs.row import RowReader
from trunkline.program import one
from trunkline.types import Ask, Decision, Head, Inputs, Refused, Row, Task

PROOF_ROWS, EXAMPLE_ROWS = 4, 4
TOLERANCE = 1e-6  # of a score or a value, and relative to it where it is larger than one
_ROW_BYTES = 2_000  # longer rows would make loading slow


class Replay(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One row, as a caller would send it, and its answer: {"status", ...the task's fields}."""

    row: dict[str, Any]
    answer: dict[str, Any]
    example: bool = False  # nobody's row


def record(
    inputs: Mapping[str, str],
    head: Head,
    task: Task,
    decision: Decision,
    labels: Sequence[str],
    proof_rows: Sequence[Inputs],
    ask: Ask,
) -> list[Replay]:
    """Replays of a few of the proof's rows and of example rows, each answered alone.

    inputs: column -> kind. Rows that can't be written as JSON and read back the same (dates, images) are left out.
    """
    reader = RowReader(inputs)
    step = max(1, len(proof_rows) // PROOF_ROWS)
    chosen = [row for values in proof_rows[::step] if (row := _raw(reader, values)) is not None][:PROOF_ROWS]
    marked = [(row, False) for row in chosen] + [(row, True) for row in _examples(reader)]
    made = []
    for row, example in marked:
        values = reader.read(row)
        if not isinstance(values, Refused):
            made.append(Replay(dict(row), answer_of(head, task, decision, labels, values, ask), example))
    return made


def answer_of(
    head: Head, task: Task, decision: Decision, labels: Sequence[str], values: Inputs, ask: Ask
) -> dict[str, Any]:
    """What is answered to one row that was read, as it is after a passage through JSON."""
    finished = task.finish(one(head.run([values]), ask), decision)
    (answer,) = task.decode(finished, decision, labels)
    plain = {"status": answer.status, **answer.fields}
    return dict(orjson.loads(orjson.dumps(plain, option=orjson.OPT_SERIALIZE_NUMPY)))


def difference(wanted: Any, found: Any, at: str = "answer") -> str | None:
    """Where two answers differ by more than TOLERANCE, None where they are the same."""
    if isinstance(wanted, dict) and isinstance(found, dict) and wanted.keys() == found.keys():
        parts = (difference(wanted[name], found[name], f"{at}.{name}") for name in wanted)
        return next((part for part in parts if part is not None), None)
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return next((part for i, (w, f) in pairs if (part := difference(w, f, f"{at}[{i}]")) is not None), None)
    if _number(wanted) and _number(found):
        same = math.isclose(wanted, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    else:
        same = wanted == found
    return None if same else f"{at} is {_short(found)}, not {_short(wanted)}"


def encode(replays: Sequence[Replay]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(list(replays)), indent=2) + b"\n"


def decode(content: bytes) -> list[Replay]:
    """Raises msgspec.DecodeError."""
    return msgspec.json.decode(content, type=list[Replay])


def _raw(reader: RowReader, values: Inputs) -> Row | None:
    """The row that reads as these values; None where there is none in JSON, or it is long."""
    row = {name: _cell(value) for name, value in values.items()}
    try:
        if len(orjson.dumps(row)) > _ROW_BYTES:
            return None
    except TypeError:  # an image or another value that JSON can't hold
        return None
    read = reader.read(row)
    if isinstance(read, Refused):
        return None
    same = all(c.kind.key(read[c.name]) == c.kind.key(values[c.name]) for c in reader.columns)
    return row if same else None


def _cell(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _examples(reader: RowReader) -> Iterator[Row]:
    """Rows of the kinds' own examples: as many as the kind with the most of them has."""
    cells = {column.name: column.kind.schema().get("examples", []) for column in reader.columns}
    if all(cells.values()):
        for i in range(min(EXAMPLE_ROWS, max(map(len, cells.values())))):
            yield {name: given[i % len(given)] for name, given in cells.items()}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    return repr(value)[:60]
