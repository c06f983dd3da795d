"""The transformer of BERT, RoBERTa and XLM-R as an OpenVINO graph, built without torch or onnx.

Word, position and type embeddings are added outside (`tables.py`); the graph begins at their norm
and ends with the pooled vector and the last hidden states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Weight = Callable[[str], NDArray[np.float32]]  # by its name in transformers' BertModel
Node = Any

POOLED, TOKENS = 0, 1  # numbers of the outputs
LINEARS = (
    "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
    "intermediate.dense", "output.dense",
)  # fmt: skip
_FAR = -1e9  # added to the scores of padding


@dataclass(frozen=True)
class Dense:
    """A layer after pooling (sentence-transformers' Dense): weight (out, in), bias (out,) or None."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    tanh: bool


@dataclass(frozen=True)
class BertShape:
    """What the graph needs to know beside its weights."""

    hidden: int
    layers: int
    heads: int
    epsilon: float
    activation: str = "gelu"  # or "relu", "gelu_new"
    pooling: str = "mean"  # or "cls", "max"
    normalize: bool = True
    dense: tuple[Dense, ...] = ()


def build(shape: BertShape, weight: Weight, precision: str, path: Path, adapters: bool = False) -> None:
    """Write the graph to `path` (.xml and .bin); see `graph`."""
    import openvino

    openvino.save_model(graph(shape, weight, precision, adapters), path, compress_to_fp16=False)


def graph(shape: BertShape, weight: Weight, precision: str, adapters: bool = False) -> Any:
    """An openvino.Model. precision: a key of engines.openvino.PRECISIONS.

    Inputs: embeds float32 (rows, tokens, hidden), mask float32 (rows, tokens), 1 = a token; with `adapters`, for each
    layer of `linears` in order A float16 (r, in) and B float16 (out, r), of any rank r: the layer then gives
    W x + b + B A x (LoRA; Hu et al. 2021, https://arxiv.org/abs/2106.09685).
    Outputs: pooled float32 (rows, dim), tokens float32 (rows, tokens, hidden).
    """
    return _Builder(shape, weight, precision, adapters).model()


def linears(shape: BertShape) -> list[str]:
    """Names of the graph's linear layers, in its order."""
    return [f"encoder.layer.{layer}.{part}" for layer in range(shape.layers) for part in LINEARS]


def whole_numbers(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix (out, in) as int8, with a scale for each output: float32 (out, 1)."""
    scale = np.abs(weight).max(axis=1, keepdims=True).astype(np.float32) / np.float32(127)
    scale[scale == 0] = 1
    return np.clip(np.rint(weight / scale), -127, 127).astype(np.int8), scale


class _Builder:
    def __init__(self, shape: BertShape, weight: Weight, precision: str, adapters: bool = False) -> None:
        from openvino import opset13

        self.shape, self.weight, self.op = shape, weight, opset13
        self.int8, self.adapters = precision.startswith("w8"), adapters
        self.low: dict[str, list[Node]] = {}  # A and B of each layer

    def model(self) -> Any:
        import openvino as ov

        embeds = self.op.parameter(ov.PartialShape([-1, -1, self.shape.hidden]), ov.Type.f32, "embeds")
        mask = self.op.parameter(ov.PartialShape([-1, -1]), ov.Type.f32, "mask")
        state = self.norm(embeds, "embeddings.LayerNorm")
        keep = self.op.unsqueeze(mask, self.ints([1, 2]))
        far = self.op.multiply(self.op.subtract(self.real(1), keep), self.real(_FAR))
        for layer in range(self.shape.layers):
            state = self.layer(state, far, f"encoder.layer.{layer}.")
        outputs = []
        for name, node in (("pooled", self.pool(state, mask)), ("tokens", state)):
            result = self.op.result(node)
            result.output(0).tensor.set_names({name})
            outputs.append(result)
        low = [node for name in linears(self.shape) for node in self.low.get(name, [])]
        return ov.Model(outputs, [embeds, mask, *low], "encoder")

    def layer(self, state: Node, far: Node, name: str) -> Node:
        mixed = self.linear(self.attention(state, far, name), f"{name}attention.output.dense")
        state = self.norm(self.op.add(state, mixed), f"{name}attention.output.LayerNorm")
        inner = self.activate(self.linear(state, f"{name}intermediate.dense"))
        mixed = self.linear(inner, f"{name}output.dense")
        return self.norm(self.op.add(state, mixed), f"{name}output.LayerNorm")

    def attention(self, state: Node, far: Node, name: str) -> Node:
        op, size = self.op, self.shape.hidden // self.shape.heads
        width = len(self.weight(f"{name}attention.self.query.bias"))  # narrower than `hidden` where heads were cut away
        heads = width // size

        def split(part: str) -> Node:
            flat = self.linear(state, f"{name}attention.self.{part}")
            return op.transpose(
                op.reshape(flat, self.ints([0, 0, heads, size]), True), self.ints([0, 2, 1, 3])
            )

        scores = op.matmul(split("query"), split("key"), False, True)
        scores = op.add(op.multiply(scores, self.real(size**-0.5)), far)
        seen = op.matmul(op.softmax(scores, -1), split("value"), False, False)
        joined = op.transpose(seen, self.ints([0, 2, 1, 3]))
        return op.reshape(joined, self.ints([0, 0, width]), True)

    def activate(self, node: Node) -> Node:
        if self.shape.activation == "relu":
            return self.op.relu(node)
        return self.op.gelu(node, "TANH" if self.shape.activation != "gelu" else "ERF")

    def linear(self, node: Node, name: str) -> Node:
        weight = self.weight(f"{name}.weight")
        product = self.op.matmul(node, self.matrix(weight), False, True)
        if self.adapters:
            product = self.op.add(product, self.lowered(node, name, *weight.shape))
        return self.op.add(product, self.real(self.weight(f"{name}.bias")))

    def lowered(self, node: Node, name: str, outputs: int, inputs: int) -> Node:
        """B A x. Both go in as float16, half the memory of every adapter."""
        import openvino as ov

        self.low[name] = []
        for part, shape in (("A", [-1, inputs]), ("B", [outputs, -1])):
            factor = self.op.parameter(ov.PartialShape(shape), ov.Type.f16)
            factor.output(0).tensor.set_names({f"{name}.{part}"})
            self.low[name].append(factor)
            node = self.op.matmul(node, self.op.convert(factor, ov.Type.f32), False, True)
        return node

    def matrix(self, weight: NDArray[np.float32]) -> Node:
        """(out, in) as a constant; int8 with a scale per output channel where precision says so."""
        if not self.int8:
            return self.real(weight)
        import openvino

        whole, scale = whole_numbers(weight)
        return self.op.multiply(
            self.op.convert(self.op.constant(whole), openvino.Type.f32), self.real(scale)
        )

    def norm(self, node: Node, name: str) -> Node:
        even = self.op.mvn(node, self.ints([-1]), True, self.shape.epsilon, "inside_sqrt")
        scaled = self.op.multiply(even, self.real(self.weight(f"{name}.weight")))
        return self.op.add(scaled, self.real(self.weight(f"{name}.bias")))

    def pool(self, state: Node, mask: Node) -> Node:
        op = self.op
        keep = op.unsqueeze(mask, self.ints([-1]))
        if self.shape.pooling == "cls":
            out = op.squeeze(
                op.slice(state, self.ints([0]), self.ints([1]), self.ints([1]), self.ints([1])),
                self.ints([1]),
            )
        elif self.shape.pooling == "max":
            padding = op.multiply(op.subtract(self.real(1), keep), self.real(_FAR))
            out = op.reduce_max(op.add(state, padding), self.ints([1]))
        else:
            total = op.reduce_sum(op.multiply(state, keep), self.ints([1]))
            out = op.divide(total, op.reduce_sum(keep, self.ints([1])))
        for dense in self.shape.dense:
            out = op.matmul(out, self.real(dense.weight), False, True)
            out = out if dense.bias is None else op.add(out, self.real(dense.bias))
            out = op.tanh(out) if dense.tanh else out
        return op.normalize_l2(out, self.ints([1]), 1e-24, "add") if self.shape.normalize else out

    def real(self, value: ArrayLike) -> Node:
        return self.op.constant(np.asarray(value, np.float32))

    def ints(self, value: ArrayLike) -> Node:
        return self.op.constant(np.asarray(value, np.int64))
