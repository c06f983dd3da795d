"""One row for many products: which of its cells does a product read?

By column name; failing that, where product and row each have just one column of a kind, that one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trunkline.serve.catalog import Served
from trunkline.types import InputKind, Inputs, Refused

_JSON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
}


def read_as(served: Served, row: Mapping[str, Any]) -> Inputs | Refused:
    """The row as this product's inputs, or why it can't read it."""
    kinds = served.kinds
    names = [kind.name for kind in kinds.values()]
    matched: dict[str, Any] = {}
    for column, kind in kinds.items():
        if column in row:
            matched[column] = row[column]
            continue
        cells = [name for name, cell in row.items() if name not in kinds and natural(kind, cell)]
        if names.count(kind.name) == 1 and len(cells) == 1:
            matched[column] = row[cells[0]]
    missing = [column for column in kinds if column not in matched]
    if missing:
        shown = ", ".join(repr(column) for column in missing[:5])
        return Refused("missing_column", f"the row has no column {shown}, and no single cell of that kind")
    return served.reader.read(matched)


def natural(kind: InputKind, cell: Any) -> bool:
    """Is the cell of the JSON type that this kind names first, and readable by it?

    A number as text is read where a column is named, but is no sign of a number column.
    """
    wanted = kind.schema().get("type", "string")
    first = wanted if isinstance(wanted, str) else next(name for name in wanted if name != "null")
    python = _JSON_TYPES.get(first, str)
    if not isinstance(cell, python) or (isinstance(cell, bool) and first != "boolean"):
        return False
    return not isinstance(kind.read(cell), Refused)
