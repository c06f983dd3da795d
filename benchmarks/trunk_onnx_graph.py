"""The default trunk's transformer as ONNX, for comparison with ONNX Runtime only; never served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from trunkline.trunks.e5s1 import E5File

REAL = onnx.TensorProto.FLOAT
_SHORT = {"query": "q", "key": "k", "value": "v"}


class _Graph:
    def __init__(self, file: E5File, kind: str) -> None:
        self.file, self.kind = file, kind
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def const(self, array: Any, kind: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array, kind), name))
        return name

    def nodes_of(self, operator: str, inputs: tuple[str, ...], outputs: int, domain: str, options: Any) -> list[str]:
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, domain=domain, **options))
        return names

    def node(self, operator: str, *inputs: str, domain: str = "", **options: Any) -> str:
        return self.nodes_of(operator, inputs, 1, domain, options)[0]

    def norm(self, x: str, name: str) -> str:
        gain, bias = (self.const(self.file.weight(f"{name}.{part}")) for part in ("weight", "bias"))
        return self.node("LayerNormalization", x, gain, bias, axis=-1, epsilon=self.file.epsilon)

    def linear(self, x: str, name: str, own: str) -> str:
        bias = self.const(self.file.weight(f"{name}.bias"))
        weight = self.file.weight(f"{name}.weight")
        if self.kind == "nbits4":
            return self.node("Add", self._four_bits(x, own, weight.shape), bias)
        if self.kind == "int8dyn":
            scale = np.abs(weight).max(axis=1) / 127
            whole = np.clip(np.rint(weight / scale[:, None]), -127, 127).T
            q, s, z = self.nodes_of("DynamicQuantizeLinear", (x,), 3, "", {})
            product = self.node("Cast", self.node("MatMulInteger", q, self.const(whole, np.int8), z), to=REAL)
            return self.node("Add", self.node("Mul", product, self.node("Mul", s, self.const(scale))), bias)
        return self.node("Add", self.node("MatMul", x, self.const(weight.T)), bias)

    def _four_bits(self, x: str, own: str, shape: tuple[int, ...]) -> str:
        """The source's own blocks, without loss; activations int8 (accuracy level 4)."""
        out, inn = shape
        blocks = self.file.blocks(own)
        scale = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32).ravel()
        whole = np.empty((len(blocks), 32), np.uint8)
        whole[:, :16], whole[:, 16:] = blocks[:, 2:] & 15, blocks[:, 2:] >> 4
        packed = (whole[:, 0::2] | whole[:, 1::2] << 4).reshape(out, inn // 32, 16)
        return self.node(
            "MatMulNBits", x, self.const(packed, np.uint8), self.const(scale),
            domain="com.microsoft", K=inn, N=out, bits=4, block_size=32, accuracy_level=4,
        )  # fmt: skip

    def layer(self, x: str, far: str, number: int) -> str:
        name, own = f"encoder.layer.{number}.", f"l{number}."
        hidden, heads = self.file.hidden, self.file.heads
        shape = self.const([0, 0, heads, hidden // heads], np.int64)
        parts = []
        for part, perm in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
            flat = self.linear(x, f"{name}attention.self.{part}", f"{own}{_SHORT[part]}.w")
            parts.append(self.node("Transpose", self.node("Reshape", flat, shape), perm=perm))
        scores = self.node("Mul", self.node("MatMul", parts[0], parts[1]), self.const((hidden // heads) ** -0.5))
        seen = self.node("MatMul", self.node("Softmax", self.node("Add", scores, far), axis=-1), parts[2])
        back = self.node("Transpose", seen, perm=[0, 2, 1, 3])
        flat = self.node("Reshape", back, self.const([0, 0, hidden], np.int64))
        mixed = self.linear(flat, f"{name}attention.output.dense", f"{own}ao.w")
        x = self.norm(self.node("Add", x, mixed), f"{name}attention.output.LayerNorm")
        inner = self.node("Gelu", self.linear(x, f"{name}intermediate.dense", f"{own}fi.w"))
        return self.norm(
            self.node("Add", x, self.linear(inner, f"{name}output.dense", f"{own}fo.w")), f"{name}output.LayerNorm"
        )


def write(file: E5File, kind: str, path: Path) -> None:
    """kind: "fp32", "nbits4" or "int8dyn"."""
    graph = _Graph(file, kind)
    x = graph.norm("embeds", "embeddings.LayerNorm")
    keep = graph.node("Unsqueeze", "mask", graph.const([1, 2], np.int64))
    far = graph.node("Mul", graph.node("Sub", graph.const(1.0), keep), graph.const(-1e9))
    for number in range(file.layers):
        x = graph.layer(x, far, number)
    mask = graph.node("Unsqueeze", "mask", graph.const([-1], np.int64))
    one = graph.const([1], np.int64)
    total = graph.node("ReduceSum", graph.node("Mul", x, mask), one, keepdims=0)
    mean = graph.node("Div", total, graph.node("ReduceSum", mask, one, keepdims=0))
    graph.nodes.append(helper.make_node("LpNormalization", [mean], ["pooled"], axis=1, p=2))
    info = helper.make_tensor_value_info
    inputs = [info("embeds", REAL, ["b", "s", file.hidden]), info("mask", REAL, ["b", "s"])]
    made = helper.make_graph(graph.nodes, "e5", inputs, [info("pooled", REAL, ["b", file.hidden])], graph.constants)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=9), path)


def open_vino_four_bits(file: E5File) -> Any:
    """A `matrix` for bert_graph's builder that keeps the source's 4-bit blocks as u4 constants."""
    import openvino as ov
    from openvino import opset13 as op

    def matrix(blocks: Any, out: int) -> Any:
        groups = len(blocks) // out
        scale = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)
        whole = np.empty((len(blocks), 32), np.uint8)
        whole[:, :16], whole[:, 16:] = blocks[:, 2:] & 15, blocks[:, 2:] >> 4
        packed = np.ascontiguousarray(whole[:, 0::2] | whole[:, 1::2] << 4).ravel()
        zero = np.full(-(-out * groups // 2), 0x88, np.uint8)
        u4 = ov.Type.u4
        x = op.convert(op.constant(ov.Tensor(packed, ov.Shape([out, groups, 32]), u4), shared_memory=False), ov.Type.f32)
        z = op.convert(op.constant(ov.Tensor(zero, ov.Shape([out, groups, 1]), u4), shared_memory=False), ov.Type.f32)
        x = op.multiply(op.subtract(x, z), op.constant(scale.reshape(out, groups, 1)))
        return op.reshape(x, op.constant(np.array([out, groups * 32], np.int64)), False)

    return matrix
