"""What happens inside a network's ONNX file: its steps and weights, read as plain protocol-buffer fields, so that a server
needs no `onnx` package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.protobuf import Buffer, block, fields

Weights = NDArray[np.float32]

# Field numbers of onnx.proto
_GRAPH, _OUTPUT, _OUTPUT_NAME = 7, 12, 1
_NODE, _INITIALIZER = 1, 5
_NODE_IN, _NODE_OUT, _NODE_OP, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_INTS = 1, 3, 8
_DIMS, _TYPE, _FLOATS, _NAME, _RAW = 1, 2, 4, 8, 9
_FLOAT = 1  # TensorProto.DataType
_PLACES = ([2, 3], [-2, -1], [-1, -2], [3, 2])  # axes of height and width
_SCALING = ("Identity", "Flatten", "Dropout", "Div", "Mul")  # steps from the mean to the last layer: a row as it is, or scaled


class Step(NamedTuple):
    """One operator: names of what it takes and gives, and its whole numbers by name."""

    operator: str
    takes: tuple[str, ...]
    gives: tuple[str, ...]
    numbers: Mapping[str, list[int]]


class Ending(NamedTuple):
    """How a network ends that takes the mean over all places and then one linear layer; between them a row may be scaled.
    places: the tensor (n, channels, height, width) before the mean; weights: (outputs, channels), bias: (outputs,)."""

    places: str
    weights: Weights
    bias: Weights


@dataclass(frozen=True)
class Inside:
    """A graph's steps in their order, its float32 weights by name, and who gives what."""

    steps: tuple[Step, ...]
    weights: Mapping[str, Weights]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, path: Path) -> Self:
        """Raises ValueError where the file is no ONNX network, OSError."""
        steps: list[Step] = []
        weights: dict[str, Weights] = {}
        outputs: list[str] = []
        for number, graph in fields(memoryview(path.read_bytes())):
            for part, value in _messages(graph) if number == _GRAPH else ():
                if part == _NODE:
                    steps.append(_step(value))
                elif part == _INITIALIZER:
                    weights |= _weights(value)
                elif part == _OUTPUT:
                    outputs += [_text(name) for at, name in _messages(value) if at == _OUTPUT_NAME]
        return cls(tuple(steps), weights, tuple(outputs))

    def filters(self) -> Weights | None:
        """(filters, 3, height, width) of the first convolution over colours; None without one of plain floats."""
        first = next((step for step in self.steps if step.operator == "Conv"), None)
        found = None if first is None else self._constant(first.takes[1])
        return found if found is not None and found.ndim == 4 and found.shape[1] == 3 else None

    def attentions(self) -> list[str]:
        """The tensors (n, heads, words, words) of each layer that attends, in their order."""
        return [step.gives[0] for step in self.steps if step.operator == "Softmax" and "attend" in step.gives[0]]

    def ending(self) -> Ending | None:
        """None where the network doesn't end so."""
        last = self._giving(self.outputs[0]) if len(self.outputs) == 1 else None
        if last is None or last.operator != "Gemm" or last.numbers.get("transB") != [1] or len(last.takes) != 3:
            return None
        (weights, bias), mean = (self._constant(name) for name in last.takes[1:3]), self._giving(last.takes[0])
        while mean is not None and mean.operator in _SCALING:
            mean = self._giving(mean.takes[0])
        if weights is None or bias is None or mean is None:
            return None
        over_places = mean.operator == "GlobalAveragePool" or (mean.operator == "ReduceMean" and mean.numbers.get("axes") in _PLACES)
        return Ending(mean.takes[0], weights, bias) if over_places else None

    def _giving(self, name: str) -> Step | None:
        return next((step for step in self.steps if name in step.gives), None)

    def _constant(self, name: str) -> Weights | None:
        step = self._giving(name)
        return self._constant(step.takes[0]) if step is not None and step.operator == "Identity" else self.weights.get(name)


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """The network's file with tensors on the way among its outputs, behind its own: a message that comes twice is one."""
    return model + block(_GRAPH, b"".join(block(_OUTPUT, block(_OUTPUT_NAME, name.encode())) for name in names))


def _messages(data: int | Buffer) -> list[tuple[int, Buffer]]:
    """The fields of a message that aren't numbers."""
    return [(at, value) for at, value in fields(data) if isinstance(value, memoryview)] if isinstance(data, memoryview) else []


def _step(data: Buffer) -> Step:
    takes, gives, operator = list[str](), list[str](), ""
    numbers: dict[str, list[int]] = {}
    for number, value in _messages(data):
        if number == _NODE_IN:
            takes.append(_text(value))
        elif number == _NODE_OUT:
            gives.append(_text(value))
        elif number == _NODE_OP:
            operator = _text(value)
        elif number == _NODE_ATTRIBUTE:
            numbers |= _numbers(value)
    return Step(operator, tuple(takes), tuple(gives), numbers)


def _numbers(attribute: Buffer) -> dict[str, list[int]]:
    name, found = "", list[int]()
    for number, value in fields(attribute):
        if number == _ATTRIBUTE_NAME and isinstance(value, memoryview):
            name = _text(value)
        elif number in (_ATTRIBUTE_INT, _ATTRIBUTE_INTS):
            found += _signed(value)
    return {name: found} if found else {}


def _weights(tensor: Buffer) -> dict[str, Weights]:
    """{name: weights} of a tensor of floats in the file itself; {} of any other."""
    name, shape, kind, data = "", list[int](), 0, None
    for number, value in fields(tensor):
        if number == _DIMS:
            shape += _signed(value)
        elif number == _TYPE and isinstance(value, int):
            kind = value
        elif number == _NAME and isinstance(value, memoryview):
            name = _text(value)
        elif number in (_RAW, _FLOATS) and isinstance(value, memoryview):
            data = np.frombuffer(value, "<f4") if len(value) % 4 == 0 else None
    if kind != _FLOAT or data is None or data.size != int(np.prod(shape)):
        return {}
    return {name: data.reshape(shape)}


def _signed(value: int | Buffer) -> list[int]:
    """One whole number, or several packed into a field."""
    if isinstance(value, int):
        return [value - (1 << 64) if value >> 63 else value]
    return [number for packed in _varints(value) for number in _signed(packed)]


def _varints(data: Buffer) -> list[int]:
    found, number, shift = list[int](), 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(number)
            number = shift = 0
    return found


def _text(data: Buffer) -> str:
    return bytes(data).decode("utf-8", "replace")
