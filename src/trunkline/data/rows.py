"""A source's rows gathered in memory: only the columns a product uses."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trunkline.data.normal import InputKeys
from trunkline.data.note import Note
from trunkline.data.paths import rows_of
from trunkline.errors import DataError, nearest
from trunkline.inputs.category import Category
from trunkline.inputs.cell import digest
from trunkline.inputs.date import Date
from trunkline.inputs.number import Number
from trunkline.inputs.row import RowReader
from trunkline.spec import Spec
from trunkline.spec.model import document_column
from trunkline.types import Examples, InputKind, Inputs, Ints, Refused, Row, Source

Arrange = Callable[[Spec, Row], Row | Refused]  # a task's own reading of cells that belong together
_LOOK_AHEAD = 100  # rows in which a column must show up: JSON lines may leave out empty cells
_REMEMBER = 50_000  # cells a column
MOST_UNREADABLE = 0.5  # share of rows over which the column is declared wrongly, not its cells


class RefusedRow(NamedTuple):
    """A row that is no example. row counts from 0; column is "" where the label is meant."""

    part: str
    row: int
    column: str
    code: str
    message: str


@dataclass(frozen=True)
class Rows:
    """Read rows before their labels are understood; all sequences have one length."""

    source: str
    inputs: Sequence[Inputs]
    cells: Sequence[Any]  # label cells
    keys: Sequence[bytes]  # group, else id, else normalised inputs
    input_keys: Sequence[bytes]
    rows: Ints
    groups: Sequence[str] | None
    times: Sequence[float] | None
    columns: dict[str, list[Any]]
    refused: Sequence[RefusedRow] = ()
    notes: Sequence[Note] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, mask: NDArray[np.bool_]) -> Rows:
        at = np.flatnonzero(mask).tolist()

        def pick(values: Sequence[Any]) -> list[Any]:
            return [values[i] for i in at]

        return replace(
            self,
            inputs=pick(self.inputs),
            cells=pick(self.cells),
            keys=pick(self.keys),
            input_keys=pick(self.input_keys),
            rows=self.rows[at],
            groups=None if self.groups is None else pick(self.groups),
            times=None if self.times is None else pick(self.times),
            columns={name: pick(values) for name, values in self.columns.items()},
        )

    def examples(self, target: NDArray[Any], labels: tuple[str, ...]) -> Examples:
        return Examples(
            self.inputs, target, labels, self.keys, self.rows, self.groups, self.times, self.columns
        )


@dataclass
class _Gatherer:
    spec: Spec
    part: str
    arrange: Arrange | None = None
    inputs: list[Inputs] = field(default_factory=list)
    cells: list[Any] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    input_keys: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)
    spaced: int = 0  # label cells that had outer spaces

    def __post_init__(self) -> None:
        self.reader = RowReader(self.spec.inputs, _REMEMBER)
        self.digests = InputKeys(self.reader)
        kept = [*self.spec.proof.slices, *([self.spec.data.id] if self.spec.data.id else [])]
        self.columns: dict[str, list[Any]] = {name: [] for name in kept}
        self._name, self._date = Category(), Date()
        self._document = document_column(self.spec)
        self._cell: InputKind = Number() if self.spec.task == "regress" else self._name

    def add(self, number: int, row: Row) -> None:
        """One more row, or one more refusal."""
        if self.arrange is not None:
            arranged = self.arrange(self.spec, row)
            if isinstance(arranged, Refused):
                return self._refuse(number, "", arranged)
            row = arranged
        values = self.reader.read(row)
        if isinstance(values, Refused):
            return self._refuse(number, values.message.split(":")[0], values)
        label = row[self.spec.label] if self.arrange else self._label(row.get(self.spec.label))
        if isinstance(label, Refused):
            return self._refuse(number, "", label)
        time = self._date.read(row.get(self.spec.data.time)) if self.spec.data.time else 0.0
        if isinstance(time, Refused) or math.isnan(time):
            why = time.message if isinstance(time, Refused) else "the time is missing"
            return self._refuse(number, str(self.spec.data.time), Refused("no_time", why))
        self._keep(number, row, values, label, time)
        return None

    def _keep(self, number: int, row: Row, values: Inputs, label: Any, time: float) -> None:
        own = self.digests.of(values)
        group = digest("text", values[self._document].encode()).hex() if self._document else self._text(row, self.spec.data.group)
        name = self._text(row, self.spec.data.id)
        key = digest("group", group.encode()) if group else digest("id", name.encode()) if name else own
        self.inputs.append(values)
        self.cells.append(label)
        self.input_keys.append(own)
        self.keys.append(key)
        self.numbers.append(number)
        self.groups.append(group or key.hex())
        self.times.append(time)
        for column, cells in self.columns.items():
            cells.append(row.get(column))

    def _text(self, row: Row, column: str | None) -> str:
        """A group or id as text, "" if there is none."""
        if column is None:
            return ""
        value = self._name.read(row.get(column))
        return "" if value is None or isinstance(value, Refused) else value

    def _label(self, raw: Any) -> Any:
        """The label cell: str without outer spaces, numbers in one spelling, lists item by item; a
        float where the task is regress."""
        if isinstance(raw, list | tuple):
            return [item for item in (self._label(one) for one in raw) if not isinstance(item, Refused)]
        if isinstance(raw, str) and raw != raw.strip():
            self.spaced += 1
        value = self._cell.read(raw)
        if value is None or value != value:  # None, nan
            return "" if self.spec.task == "multilabel" else Refused("missing_label", "the label is missing")
        return value

    def _refuse(self, number: int, column: str, why: Refused) -> None:
        self.refused.append(RefusedRow(self.part, number, column, why.code, why.message))

    def done(self, source: Source) -> Rows:
        """Raises DataError for a column whose cells are mostly of another kind than the spec says."""
        self._refuse_wrong_kind(source.describe())
        notes = list(getattr(source, "notes", ()))
        if self.spaced:
            notes.append(
                Note(
                    "label_spaces",
                    f"{self.spaced:,} labels had spaces around them; they were removed",
                    f"{self.spaced:,} 个标签前后有空格，已去除",
                )
            )
        return Rows(
            source=source.describe(),
            inputs=self.inputs,
            cells=self.cells,
            keys=self.keys,
            input_keys=self.input_keys,
            rows=np.array(self.numbers, np.int64),
            groups=self.groups if self.spec.data.group or self._document else None,
            times=self.times if self.spec.data.time else None,
            columns=self.columns,
            refused=self.refused,
            notes=notes,
        )


    def _refuse_wrong_kind(self, where: str) -> None:
        unread = [row for row in self.refused if row.code in ("unreadable", "no_time")]
        for column, count in Counter(row.column for row in unread).most_common(1):
            total = len(self.inputs) + len(self.refused)
            if count <= MOST_UNREADABLE * total:
                return
            first = next(row for row in unread if row.column == column)
            kind, hint = self._declared(column, first.code)
            raise DataError(
                f"most cells of the column {column or self.spec.label!r} are no {kind}",
                where=f"{where}, row {first.row + 1}",
                found=f"{first.message.removeprefix(f'{column}: ')}, as in {count:,} of {total:,} rows",
                wanted=kind,
                hint=hint,
            )

    def _declared(self, column: str, code: str) -> tuple[str, str]:
        """What the spec takes a column's cells for, and what to change where they aren't."""
        if code == "no_time":
            return "dates", "name another column in [data] time, or write dates like 2024-01-31"
        if not column:
            if self.arrange is not None:
                return f"{self.spec.task} labels", "docs/data.md says how they are written"
            numbers = self.spec.task == "regress"
            return ("numbers", 'task = "classify", if the labels are names') if numbers else ("labels", "")
        return f"{self.spec.inputs[column]}s", f'another kind in [inputs], such as {column} = "category"'


def gather(spec: Spec, source: Source, part: str, arrange: Arrange | None = None) -> Rows:
    """All rows of a source. Raises DataError: no rows, a column missing in the first 100 rows, or one whose
    cells are mostly of another kind than the spec says."""
    gathered = _Gatherer(spec, part, arrange)
    for number, row in enumerate(checked(rows_of(source, spec.inputs), needed(spec), source.describe())):
        gathered.add(number, row)
    return gathered.done(source)


def needed(spec: Spec) -> list[str]:
    """The columns a product uses: inputs, label, id, group, time, slices."""
    data = spec.data
    extra = [name for name in (data.id, data.group, data.time) if name]
    return list(dict.fromkeys([*spec.inputs, spec.label, *extra, *spec.proof.slices]))


def checked(rows: Iterator[Row], columns: Sequence[str], where: str) -> Iterator[Row]:
    """The same rows, once the first of them are known to have all `columns`.

    Raises DataError for an empty source, and for a missing column with the nearest name.
    """
    first = list(itertools.islice(rows, _LOOK_AHEAD))
    if not first:
        raise DataError("there are no rows", where=where, wanted="a header and at least one row")
    present = dict.fromkeys(name for row in first for name in row)
    for column in columns:
        if column not in present:
            raise DataError(
                f"there is no column {column!r}",
                where=where,
                found=", ".join(map(repr, present))[:200],
                wanted=repr(column),
                hint=nearest(column, present),
            )
    return itertools.chain(first, rows)
