"""Tensors of the Open Inference Protocol: JSON or binary on the wire, plain lists inside.

JSON: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md; binary:
Triton's binary tensor data extension (little-endian, row-major; BYTES as a 4-byte length and the bytes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import UNSET, Struct, UnsetType

from trunkline.errors import nearest
from trunkline.serve.wire import WrongRequestError

NUMBERS = {
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
}
DATATYPES = ("BYTES", "BOOL", *NUMBERS)
_LENGTH = struct.Struct("<I")


class Tensor(Struct):
    """One input of a request; the values lie in `data` or behind the JSON."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | UnsetType = UNSET
    parameters: dict[str, Any] = {}

    def rows(self) -> int:
        """n, of shape [n] or [n, 1]. Raises WrongRequestError for any other."""
        if not self.shape or self.shape[0] < 0 or self.shape[1:] not in ([], [1]):
            raise wrong(
                self.name,
                "a column has one value a row",
                found=f"shape {self.shape!r:.60}",
                wanted="[n] or [n, 1]",
            )
        return self.shape[0]


def parts(tensors: Sequence[Tensor], binary: bytes) -> list[bytes | None]:
    """Each tensor's share of the bytes behind the JSON, None where its values are in `data`."""
    out: list[bytes | None] = []
    start = 0
    for tensor in tensors:
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            out.append(None)
            continue
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(binary) - start:
            raise wrong(
                tensor.name,
                "binary_data_size doesn't fit the body",
                found=f"{size!r:.40}",
                wanted=f"at most {len(binary) - start} bytes",
                hint="the header Inference-Header-Content-Length gives the length of the JSON before them",
            )
        out.append(binary[start : start + size])
        start += size
    if start != len(binary):
        raise WrongRequestError(
            "bytes behind the JSON belong to no input", found=f"{len(binary) - start} bytes"
        )
    return out


def read(tensor: Tensor, binary: bytes | None) -> list[Any]:
    """One value a row: str, bool, int, float, or None for a JSON null. Raises WrongRequestError."""
    if tensor.datatype not in DATATYPES:
        raise wrong(
            tensor.name,
            "the datatype is not known here",
            found=f"{tensor.datatype!r:.40}",
            hint=nearest(tensor.datatype[:40], DATATYPES),
        )
    n = tensor.rows()
    values = _from_json(tensor) if binary is None else _from_bytes(tensor, binary)
    if len(values) != n:
        raise wrong(
            tensor.name,
            "the values don't fit the shape",
            found=f"{len(values)} values",
            wanted=f"{n} of them",
        )
    return values


def write(
    name: str, datatype: str, shape: Sequence[int], values: Sequence[Any], binary: bool
) -> tuple[dict[str, Any], bytes]:
    """(the output's JSON, its bytes behind the JSON). `values` are flat, row-major; None is not a number,
    which JSON writes as null."""
    out: dict[str, Any] = {"name": name, "shape": list(shape), "datatype": datatype}
    if not binary:
        return {**out, "data": list(values)}, b""
    if datatype == "BYTES":
        data = b"".join(_LENGTH.pack(len(cell)) + cell for cell in (str(value).encode() for value in values))
    else:
        data = np.array(values, "u1" if datatype == "BOOL" else NUMBERS[datatype]).tobytes()
    return {**out, "parameters": {"binary_data_size": len(data)}}, data


def wrong(name: str, what: str, **known: str) -> WrongRequestError:
    return WrongRequestError(what, where=f"input {name[:80]!r}", **known)


def _from_json(tensor: Tensor) -> list[Any]:
    if isinstance(tensor.data, UnsetType):
        raise wrong(
            tensor.name, "an input has no values", wanted="data, or binary_data_size among its parameters"
        )
    values = tensor.data
    if any(isinstance(value, list) for value in values):  # [[a], [b]] is [a, b] of shape [2, 1]
        values = [cell for row in values for cell in (row if isinstance(row, list) else [row])]
    wanted = _wanted(tensor.datatype)
    for at, value in enumerate(values):
        if value is not None and type(value) not in wanted:
            raise wrong(
                tensor.name,
                f"a value is not {tensor.datatype}",
                found=f"{type(value).__name__} at {at}",
                wanted=" or ".join(kind.__name__ for kind in wanted),
            )
    return values


def _wanted(datatype: str) -> tuple[type, ...]:
    if datatype == "BYTES":
        return (str,)
    if datatype == "BOOL":
        return (bool,)
    return (int, float) if datatype.startswith("FP") else (int,)


def _from_bytes(tensor: Tensor, binary: bytes) -> list[Any]:
    if tensor.datatype == "BYTES":
        return list(_strings(tensor.name, binary))
    kind = np.dtype("u1" if tensor.datatype == "BOOL" else NUMBERS[tensor.datatype])
    if len(binary) % kind.itemsize:
        raise wrong(tensor.name, "the bytes are no whole values", found=f"{len(binary)} bytes")
    values = np.frombuffer(binary, kind)
    return list((values != 0 if tensor.datatype == "BOOL" else values).tolist())


def _strings(name: str, binary: bytes) -> Iterator[str]:
    at = 0
    while at < len(binary):
        head = binary[at : at + _LENGTH.size]
        size = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else len(binary)
        at += _LENGTH.size
        if at + size > len(binary):
            raise wrong(name, "a text is longer than the bytes left", wanted="a 4-byte length, then the text")
        try:
            yield binary[at : at + size].decode()
        except UnicodeDecodeError:
            raise wrong(name, "a text is not UTF-8", found=f"bytes {at} to {at + size}") from None
        at += size


def named(tensors: Sequence[Tensor], known: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors by name: each of `known` once, and no other. Raises WrongRequestError."""
    out = {tensor.name: tensor for tensor in tensors}
    if len(out) != len(tensors):
        raise WrongRequestError("two inputs have one name", where="inputs")
    for name in out:
        if name not in known:
            raise wrong(name, "the product has no such input", hint=nearest(name[:80], known))
    for name in known:
        if name not in out:
            raise WrongRequestError(f"the input {name!r} is missing", where="inputs", hint=nearest(name, out))
    return out
