"""A PyTorch checkpoint of before 2020 as arrays, without torch and without unpickling: its pickle is only walked,
nothing that it names is imported or called."""

from __future__ import annotations

import pickletools
from pathlib import Path
from typing import IO, Any

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
            for key in _keys(file):
                (count,) = np.fromfile(file, "<i8", 1)
                width = "<f4" if tensors[key][0] == "torch FloatStorage" else "<i8"
                storages[key] = np.fromfile(file, width, int(count))
    except (ValueError, KeyError, StopIteration) as error:
        raise TrunkError("this checkpoint can't be read", where=str(path), found=f"{error!r:.120}") from error
    found = {}
    for key, (kind, name, offset, size, strides) in tensors.items():
        if kind == "torch FloatStorage":
            flat = storages[key][offset:]
            view = np.lib.stride_tricks.as_strided(flat, size, [4 * stride for stride in strides], writeable=False)
            found[name] = np.ascontiguousarray(view)
    return found


Tensor = tuple[str, str, int, tuple[int, ...], tuple[int, ...]]  # storage, name, offset, size, strides


def _end(file: IO[bytes]) -> None:
    for _ in pickletools.genops(file):
        pass


def _keys(file: IO[bytes]) -> list[str]:
    return [str(arg) for op, arg, _ in pickletools.genops(file) if op.name == "BINUNICODE"]


def _tensors(file: IO[bytes]) -> dict[str, Tensor]:
    """Storage key -> tensor, as `torch._utils._rebuild_tensor_v2` would be given it."""
    found: dict[str, Tensor] = {}
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
            found[key] = (kind, name, numbers[0], tuple(numbers[1 : half + 1]), tuple(numbers[half + 1 :]))
            numbers = None
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
