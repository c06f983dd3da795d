"""The end of an exported graph: from what a network gives to the product's own probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import BundleError, MissingExtra
from trunkline.types import Decision

Model = Any  # onnx.ModelProto
OLDEST = 13  # opset: Softmax over one axis, ReduceSum with its axes as an input
LEAST = 1e-12  # a probability is never taken for less (`tasks.classify`)


def onnx_package() -> Any:
    """Raises MissingExtra."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra("onnx", "export") from error
    return onnx


class Tail:
    """Nodes behind a model's output, which becomes an inner value. Every name made here begins with "trunkline_".

    Raises BundleError for a model of an opset before OLDEST, or without that output.
    """

    def __init__(self, model: Model, output: str) -> None:
        self.onnx, self.model, self.graph, self._made = onnx_package(), model, model.graph, 0
        opset = opsets(model).get("", 0)
        if opset < OLDEST:
            raise BundleError(
                "the network is too old to be extended", found=f"opset {opset}", wanted=f"{OLDEST} or later",
                hint="export it again with a newer opset, then train the product again",
            )  # fmt: skip
        found = [port for port in self.graph.output if port.name == output or not output]
        if len(found) != 1:
            raise BundleError("the network has no such output", found=repr(output), wanted=" | ".join(p.name for p in self.graph.output))
        self.output = self.add("Cast", found[0].name, to=self.onnx.TensorProto.FLOAT)
        del self.graph.output[:]

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output; that output's name."""
        name = self._name()
        self.graph.node.append(self.onnx.helper.make_node(operator, list(inputs), [name], name, **attributes))
        return name

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = self._name()
        self.graph.initializer.append(self.onnx.numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def give(self, value: str, name: str, shape: Sequence[int | str]) -> None:
        """Make an inner value an output, float32."""
        self.graph.node.append(self.onnx.helper.make_node("Identity", [value], [name], f"trunkline_{name}"))
        self.graph.output.append(self.onnx.helper.make_tensor_value_info(name, self.onnx.TensorProto.FLOAT, list(shape)))

    def _name(self) -> str:
        self._made += 1
        return f"trunkline_{self._made}"


def linked(tail: Tail, link: str, scores: str) -> str:
    """`heads.links.apply_link` as nodes."""
    if link == "identity":
        return tail.add("Reshape", scores, tail.constant([-1], np.int64))
    if link == "softmax":
        return tail.add("Softmax", scores, axis=1)
    positive = tail.add("Sigmoid", scores)
    if link == "labels":
        return positive
    return tail.add("Concat", tail.add("Sigmoid", tail.add("Neg", scores)), positive, axis=1)


def shares(tail: Tail, values: str) -> str:
    """Probabilities of a row divided by their sum."""
    return tail.add("Div", values, tail.add("ReduceSum", values, tail.constant([1], np.int64), keepdims=1))


def finished(tail: Tail, values: str, decision: Decision) -> str:
    """What the tasks' `finish` does: the temperature of classify, the thresholds of multilabel moved to 0.5."""
    if decision.thresholds:
        at = np.clip(np.array(decision.thresholds), 1e-6, 1 - 1e-6)
        yes = tail.add("Mul", values, tail.constant(1 - at))
        no = tail.add("Mul", tail.add("Sub", tail.constant(1.0), values), tail.constant(at))
        return tail.add("Div", yes, tail.add("Add", yes, no))
    if decision.temperature == 1.0:
        return values
    logs = tail.add("Log", tail.add("Max", values, tail.constant(LEAST)))
    return tail.add("Softmax", tail.add("Div", logs, tail.constant(decision.temperature)), axis=1)


def multiplied(tail: Tail, rows: str, weights: NDArray[Any]) -> str:
    return tail.add("MatMul", rows, tail.constant(weights))


def opsets(model: Model) -> dict[str, int]:
    """Domain -> version; ONNX's own domain is ""."""
    return {"" if one.domain == "ai.onnx" else one.domain: int(one.version) for one in model.opset_import}


def operators(model: Model) -> dict[str, tuple[str, ...]]:
    """Domain -> the operators in the graph and all graphs within it, by the alphabet."""
    found: dict[str, set[str]] = {}

    def walk(graph: Any) -> None:
        for node in graph.node:
            found.setdefault("" if node.domain == "ai.onnx" else node.domain, set()).add(node.op_type)
            for attribute in node.attribute:
                for inner in [attribute.g, *attribute.graphs]:
                    walk(inner)

    walk(model.graph)
    return {domain: tuple(sorted(names)) for domain, names in sorted(found.items())}
