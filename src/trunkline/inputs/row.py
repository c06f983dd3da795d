"""One row for heads: every input column read by its kind. Used by training, predict and the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trunkline.inputs import KINDS
from trunkline.types import InputKind, Inputs, Refused, Row


class Column:
    """One input column: its name, its kind, and a memory of at most `remember` short cells."""

    def __init__(self, name: str, kind: str, remember: int = 0) -> None:
        self.name = name
        self.kind: InputKind = KINDS.get(kind)()
        self._remember = remember
        self._memo: dict[str, Any] = {}

    def read(self, raw: Any) -> Any:
        """The cell's Value, or Refused."""
        if not self._remember or not isinstance(raw, str) or len(raw) > 40:
            return self.kind.read(raw)
        if raw in self._memo:
            return self._memo[raw]
        value = self.kind.read(raw)
        if len(self._memo) < self._remember:
            self._memo[raw] = value
        return value


class RowReader:
    """Reads rows by a product's inputs (column -> kind). A column that is absent is a missing cell.

    `remember`: short cells kept per column for reading files, where names and numbers repeat; a server
    keeps none.
    """

    def __init__(self, inputs: Mapping[str, str], remember: int = 0) -> None:
        self.columns = [Column(name, kind, remember) for name, kind in inputs.items()]

    def read(self, row: Row) -> Inputs | Refused:
        """All Values, or the first refusal, its message naming the column."""
        values = {}
        for column in self.columns:
            value = column.read(row.get(column.name))
            if isinstance(value, Refused):
                return Refused(value.code, f"{column.name}: {value.message}")
            values[column.name] = value
        return values
