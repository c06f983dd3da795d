"""What a network's inputs take, and rows put into that form: columns, ids of words, pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.ort import Port
from trunkline.errors import BundleError, DataError
from trunkline.inputs.tensors import Tensors

TYPES: dict[str, Any] = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int16)": np.int16, "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_, "tensor(string)": np.object_,
}  # fmt: skip


def check_port(port: Port) -> None:
    """Raises BundleError for an input that rows of columns can't fill."""
    if port.type not in TYPES or not port.shape or (len(port.shape) > 2 and port.type == "tensor(string)"):
        raise BundleError(
            "an input of the network takes no rows",
            where=port.name,
            found=f"{port.type} {list(port.shape)}",
            wanted="a tensor of [rows], [rows, columns], or numbers of more axes, such as pixels",
        )
    if isinstance(port.shape[0], int) and port.shape[0] != 1:
        raise BundleError(
            "the network takes only batches of one size",
            where=port.name,
            found=f"{port.shape[0]} rows",
            wanted="a free first axis, or 1",
            hint="export it with a dynamic batch axis",
        )


def size_of(part: Any) -> int:
    return int(part.size) if isinstance(part, np.ndarray) else len(part)


def alike(items: Sequence[Tensors], most: int) -> Iterator[list[int]]:
    """Places of items whose parts have the same shapes, at most so many together."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for at, item in enumerate(items):
        groups.setdefault(tuple(np.shape(part) for part in item), []).append(at)
    for places in groups.values():
        yield from (places[at : at + most] for at in range(0, len(places), most))


def width_of(port: Port) -> int:
    """Cells of a row; a free axis counts 1."""
    return math.prod(axis if isinstance(axis, int) else 1 for axis in port.shape[1:])


def as_row(port: Port, cells: Any) -> Any:
    """`width_of` cells in the shape of one of the port's rows."""
    return cells.reshape([axis if isinstance(axis, int) else 1 for axis in port.shape[1:]]) if len(port.shape) > 2 else cells


def filled(port: Port, parts: Sequence[Any]) -> NDArray[Any]:
    """Rows as the port wants them: its type, one axis or two."""
    wanted = TYPES[port.type]
    numbers = isinstance(parts[0], np.ndarray)
    if len(port.shape) > 2:
        return _block(port, parts).astype(wanted)
    width = len(parts[0])
    if numbers == (wanted is np.object_):
        hint = "codes = { column = [...] } makes numbers of names" if not numbers else "declare the column as category"
        found = "numbers" if numbers else "names or texts"
        raise BundleError("a column doesn't fit the network's input", where=port.name, found=found, wanted=port.type, hint=hint)
    fixed = port.shape[1] if len(port.shape) == 2 else 1
    if isinstance(fixed, int) and fixed != width:
        raise BundleError(
            "an input of the network takes another number of columns",
            where=port.name, found=str(width), wanted=str(fixed), hint="[method.settings.inputs]",
        )  # fmt: skip
    rows = np.array(parts, np.float64 if numbers else np.object_)
    whole = np.issubdtype(wanted, np.integer) or wanted is np.bool_
    if whole and not np.isfinite(rows).all():
        raise DataError(
            "a missing number can't be a whole number", where=port.name, wanted=port.type, hint="set missing = 0"
        )
    with np.errstate(over="ignore"):  # what a narrow type can't hold is infinite in it
        return rows.astype(wanted) if len(port.shape) == 2 else rows[:, 0].astype(wanted)


def _block(port: Port, parts: Sequence[Any]) -> NDArray[Any]:
    """Rows of more than one axis each. Raises BundleError for a shape that the port doesn't take."""
    shape = np.shape(parts[0])
    fits = len(shape) == len(port.shape) - 1 and all(
        not isinstance(wanted, int) or wanted == found for wanted, found in zip(port.shape[1:], shape, strict=True)
    )
    if not fits:
        raise BundleError(
            "an input of the network takes another shape", where=port.name, found=str(list(shape)), wanted=str(list(port.shape[1:]))
        )
    return np.stack(parts)
