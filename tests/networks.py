"""Small ONNX networks built by hand: what a founder's own would be."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from trunkline.engines.own import OwnEngine, OwnNetwork

H = onnx.helper
REAL, INT, TEXT = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.STRING


def save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, Any]) -> Path:
    """inputs, outputs: (name, type, shape)."""
    given = [H.make_tensor_value_info(*one) for one in inputs]
    found = [H.make_tensor_value_info(*one) for one in outputs]
    stored = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    opsets = [H.make_opsetid("", 17), H.make_opsetid("ai.onnx.ml", 3)]
    graph = H.make_graph(nodes, "g", given, found, stored)
    path.write_bytes(H.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
    return path


def linear(path: Path, weights: Any, bias: Any, end: str = "Softmax", rows: Any = "n", name: str = "x") -> Path:
    """A matrix product with `end` (Softmax, Sigmoid, Identity): input x [rows, k], output y [rows, m]."""
    w, b = np.asarray(weights, np.float32), np.asarray(bias, np.float32)
    nodes = [H.make_node("MatMul", [name, "w"], ["m"]), H.make_node("Add", ["m", "b"], ["s"]), H.make_node(end, ["s"], ["y"])]
    shapes = [(name, REAL, [rows, len(w)])], [("y", REAL, [rows, w.shape[1]])]
    return save(path, nodes, *shapes, {"w": w, "b": b})


def thresholds(path: Path, bounds: list[float]) -> Path:
    """Input x [n, 1]; output y [n, 1] int64: how many bounds lie below x. Bits don't depend on the batch."""
    nodes = [
        H.make_node("Greater", ["x", "b"], ["over"]),
        H.make_node("Cast", ["over"], ["ones"], to=INT),
        H.make_node("ReduceSum", ["ones", "axis"], ["y"], keepdims=1),
    ]
    weights = {"b": np.array([bounds], np.float32), "axis": np.array([1], np.int64)}
    return save(path, nodes, [("x", REAL, ["n", 1])], [("y", INT, ["n", 1])], weights)


@cache
def contract_engine() -> OwnEngine:
    """For the contract's product `network`: size and shop to three classes."""
    with TemporaryDirectory() as folder:
        file = linear(Path(folder) / "m.onnx", [[1, 0, -1], [0.5, -0.5, 1]], [0, 0.1, 0])
        return OwnNetwork(file).load()
