"""int8 of an own network's ONNX file that keeps an answer a function of its row.

Matrix products: activations get a scale for each row of the product (each token, each line of a table), never one for
the tensor, as onnxruntime's dynamic form has it: there a row's answer hangs on its batch-mates. Convolutions: fixed scales
from calibration rows, by onnxruntime.quantization. Tables of words: int8 with a scale for each word. Weights have a scale
for each output.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import TrainError

Feed = Mapping[str, NDArray[Any]]
LEAST = 1_024  # weights of a matrix or a table, under which int8 gains nothing
_TINY = np.float32(1e-30)


def quantised(model: Any, rows: Sequence[Feed]) -> Any:
    """An onnx.ModelProto, a new one. rows: the network's inputs of calibration rows, by name.

    Raises TrainError for an operator that ONNX doesn't define, for one that is int8 already, and where nothing in the
    network gains by int8.
    """
    import onnx

    check_operators(model)
    if any(node.op_type in ("QuantizeLinear", "MatMulInteger") for node in model.graph.node):
        raise TrainError("this network is int8 already")
    found = onnx.ModelProto()
    found.CopyFrom(model)
    unshare(found.graph)
    rewritten = _Rewriter(found.graph).rewrite()
    if any(node.op_type == "Conv" for node in found.graph.node):
        found, rewritten = _convolutions(found, rows), rewritten + 1
    if not rewritten:
        operators = sorted({node.op_type for node in model.graph.node})
        raise TrainError("nothing in this network gains by int8", found=", ".join(operators), wanted="MatMul, Gemm, Gather of a table, or Conv")
    return found


def check_operators(model: Any) -> None:
    """Raises TrainError naming the operators that a converter wouldn't know: those outside ONNX's own definitions."""
    import onnx

    versions = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    unknown = []
    for node in _nodes(model.graph):
        domain = node.domain or "ai.onnx"
        known = onnx.defs.has(node.op_type, domain="" if domain == "ai.onnx" else domain, max_inclusive_version=versions.get(domain, 1))
        if not known and f"{domain}:{node.op_type}" not in unknown:
            unknown.append(f"{domain}:{node.op_type}")
    if unknown:
        raise TrainError(
            "the network has an operator that can't be converted", found=", ".join(unknown), wanted="operators of ONNX itself",
            hint="export the network without fused or foreign operators",
        )  # fmt: skip


def _nodes(graph: Any) -> Iterator[Any]:
    """With those of loops and branches."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def unshare(graph: Any) -> None:
    """Equal constants, which torch exports once and names again by Identity, under their own names: a quantiser takes a
    bias only from a constant."""
    known = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in known:
            copy = graph.initializer.add()
            copy.CopyFrom(known[node.input[0]])
            copy.name = node.output[0]
            known[copy.name] = copy
        else:
            kept.append(node)
    if len(kept) < len(graph.node):
        del graph.node[:]
        graph.node.extend(kept)


class _Rewriter:
    """Changes a graph in place. Matrices and tables are found by what their nodes take: a constant."""

    def __init__(self, graph: Any) -> None:
        import onnx

        self.onnx, self.graph = onnx, graph
        self.known = {tensor.name: tensor for tensor in graph.initializer}
        self.made: list[Any] = []  # nodes of the new graph

    def rewrite(self) -> int:
        """How many products and tables became int8."""
        count = 0
        for node in list(self.graph.node):
            done = self._product(node) or self._table(node)
            count += done
            if not done:
                self.made.append(node)
        del self.graph.node[:]
        self.graph.node.extend(self.made)
        self._forget_unused()
        return count

    def _product(self, node: Any) -> bool:
        """MatMul, or Gemm as torch exports a linear layer, with a constant matrix."""
        weight = self._matrix(node, 1) if node.op_type in ("MatMul", "Gemm") else None
        if weight is None:
            return False
        told = {attribute.name: self.onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        if told.get("transA", 0) or told.get("alpha", 1.0) != 1 or told.get("beta", 1.0) != 1:
            return False
        weight = weight.T if told.get("transB", 0) else weight
        name, (x, out) = node.output[0], (node.input[0], node.output[0])
        whole, scale = _whole(weight, axis=0)
        biased = node.op_type == "Gemm" and len(node.input) > 2
        self._add("Abs", [x], f"{name}/abs")
        self._add("ReduceMax", [f"{name}/abs"], f"{name}/most", axes=[-1], keepdims=1)
        self._add("Max", [f"{name}/most", self._constant(f"{name}/tiny", _TINY)], f"{name}/range")
        self._add("Div", [x, f"{name}/range"], f"{name}/share")
        middle = self._constant(f"{name}/middle", np.uint8(128))
        self._add("QuantizeLinear", [f"{name}/share", self._constant(f"{name}/step", np.float32(1 / 127)), middle], f"{name}/whole")
        self._add("MatMulInteger", [f"{name}/whole", self._constant(f"{name}/weight", whole), middle], f"{name}/sums")
        self._add("Cast", [f"{name}/sums"], f"{name}/real", to=self.onnx.TensorProto.FLOAT)
        self._add("Mul", [f"{name}/real", f"{name}/range"], f"{name}/ranged")
        scales = self._constant(f"{name}/scales", (scale / np.float32(127)).reshape(-1))
        self._add("Mul", [f"{name}/ranged", scales], f"{name}/scaled" if biased else out)
        if biased:
            self._add("Add", [f"{name}/scaled", node.input[2]], out)
        return True

    def _table(self, node: Any) -> bool:
        """Gather of rows of a constant table."""
        told = {attribute.name: attribute.i for attribute in node.attribute}
        table = self._matrix(node, 0) if node.op_type == "Gather" and told.get("axis", 0) == 0 else None
        if table is None:
            return False
        name = node.output[0]
        whole, scale = _whole(table, axis=1)
        self._add("Gather", [self._constant(f"{name}/table", whole), node.input[1]], f"{name}/whole", axis=0)
        self._add("Gather", [self._constant(f"{name}/scales", scale), node.input[1]], f"{name}/scale", axis=0)
        self._add("Cast", [f"{name}/whole"], f"{name}/real", to=self.onnx.TensorProto.FLOAT)
        self._add("Mul", [f"{name}/real", f"{name}/scale"], name)
        return True

    def _matrix(self, node: Any, at: int) -> NDArray[np.float32] | None:
        tensor = self.known.get(node.input[at])
        if tensor is None or len(tensor.dims) != 2 or tensor.data_type != self.onnx.TensorProto.FLOAT:
            return None
        found = self.onnx.numpy_helper.to_array(tensor)
        return found if found.size >= LEAST else None

    def _constant(self, name: str, value: Any) -> str:
        self.graph.initializer.append(self.onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def _add(self, operator: str, inputs: list[str], output: str, **told: Any) -> None:
        self.made.append(self.onnx.helper.make_node(operator, inputs, [output], **told))

    def _forget_unused(self) -> None:
        used = {name for node in _nodes(self.graph) for name in node.input} | {out.name for out in self.graph.output}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)


def _whole(weight: NDArray[np.float32], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8, and the scale of each line along `axis`, its axes kept."""
    scale = np.abs(weight).max(axis=axis, keepdims=True).astype(np.float32) / np.float32(127)
    scale[scale == 0] = 1
    return np.clip(np.rint(weight / scale), -127, 127).astype(np.int8), scale


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser's warnings go to the root logger, for people who quantise by hand."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _convolutions(model: Any, rows: Sequence[Feed]) -> Any:
    """Convolutions and what lies between them as int8, scales fixed by the calibration rows."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Rows(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(rows)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            found = next(self.left, None)
            return None if found is None else dict(found)

    with tempfile.TemporaryDirectory() as place, _quiet():
        to = Path(place) / "int8.onnx"
        quantize_static(
            model, to, Rows(), QuantFormat.QDQ, op_types_to_quantize=["Conv", "Relu", "MaxPool"], per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, extra_options={"WeightSymmetric": True},
        )  # fmt: skip
        return onnx.load(to)
