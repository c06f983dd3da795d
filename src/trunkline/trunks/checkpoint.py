"""A PyTorch checkpoint of before 2020 as arrays, without torch and without unpickling: its pickle is only walked,
nothing that it names is imported or called."""

from __future__ import annotations

import pickletools
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import TrunkError


def read_checkpoint(path: Path) -> dict[str, NDArray[np.float32]]:
    """Name -> float32 array; tensors of other types are left out. Raises TrunkError for another layout."""
    try:
        with path.open("rb") as file:
            for _ in range(3):  # magic number, version, sizes of types
                _end(file)
            tensors = _tensors(file)
            storages = {}
            floats = {tensor.storage for tensor in tensors if tensor.kind == "torch FloatStorage"}
            for key in _keys(file):
                (count,) = np.fromfile(file, "<i8", 1)
                storages[key] = np.fromfile(file, "<f4" if key in floats else "<i8", int(count))
    except (ValueError, KeyError, StopIteration) as error:
        raise TrunkError("this checkpoint can't be read", where=str(path), found=f"{error!r:.120}") from error
    found = {}
    for tensor in tensors:
        if tensor.storage in floats and tensor.name:
            flat = storages[tensor.storage][tensor.offset :]
            view = np.lib.stride_tricks.as_strided(flat, tensor.size, [4 * stride for stride in tensor.strides], writeable=False)
            found[tensor.name] = np.ascontiguousarray(view)
    return found


class _Tensor(NamedTuple):
    """kind, storage: type and key of what holds it, other tensors too perhaps. name: "" if it has none of its own, as an
    optimiser's have none. offset, strides: in numbers."""

    kind: str
    storage: str
    name: str
    offset: int
    size: tuple[int, ...]
    strides: tuple[int, ...]


def _end(file: IO[bytes]) -> None:
    for _ in pickletools.genops(file):
        pass


def _keys(file: IO[bytes]) -> list[str]:
    return [str(arg) for op, arg, _ in pickletools.genops(file) if op.name == "BINUNICODE"]


def _tensors(file: IO[bytes]) -> list[_Tensor]:
    """Each tensor as `torch._utils._rebuild_tensor_v2` would be given it."""
    found: list[_Tensor] = []
    memo: dict[int, Any] = {}
    last: Any = None
    name = kind = key = ""
    numbers: list[int] | None = None
    arg: Any
    for op, arg, _ in pickletools.genops(file):
        if op.name in ("BINUNICODE", "GLOBAL"):
            last = arg
        elif op.name == "BINPUT" or op.name == "LONG_BINPUT":
            memo[arg] = last
        elif op.name in ("BINGET", "LONG_BINGET"):
            last = memo.get(arg)
        elif op.name == "BINPERSID":
            numbers = []
        elif op.name in ("NEWFALSE", "NEWTRUE") and numbers is not None:
            half = len(numbers) // 2
            found.append(_Tensor(kind, key, name, numbers[0], tuple(numbers[1 : half + 1]), tuple(numbers[half + 1 :])))
            numbers, name = None, ""
        elif op.name.startswith("BININT") and numbers is not None:
            numbers.append(arg)
        if isinstance(last, str) and op.name in ("BINUNICODE", "GLOBAL", "BINGET", "LONG_BINGET"):
            if last.endswith("Storage"):
                kind = last
            elif last.isdigit():
                key = last
            elif "." in last and " " not in last:
                name = last
    return found
