"""A trunk as an ONNX graph, from token ids or pixels to its pooled vector, as PyTorch exports it and then made small.

Weights stay what the trunk has: matrices that it holds as int8 are int8 here, made floats by the runtime when it loads
the file; so every row is computed in 32 bits, and never by what stands beside it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import MissingExtra
from trunkline.exporting.graph import Model, onnx_package
from trunkline.trunks.bert import BertParts
from trunkline.trunks.bert_graph import whole_numbers
from trunkline.trunks.efficientnet import SIZE

OPSET = 17
IDS, MASK, PIXELS, POOLED = "ids", "mask", "pixels", "pooled"
_SMALL = 10_000  # weights of a matrix that stays as it is


def text_graph(parts: BertParts, whole: bool) -> Model:
    """ids, mask int64 (rows, tokens) -> pooled float32 (rows, dim). whole: matrices as int8. Raises MissingExtra."""
    torch = _torch()
    from trunkline.networks.text_encoder import TextEncoder

    encoder = TextEncoder(parts, dropout=0.0)

    class Pooled(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, embeds: Any, mask: Any) -> Any:
            return encoder.pooled(encoder.states(embeds, mask), mask)

    rows = {0: "rows", 1: "tokens"}
    sample = (torch.zeros(2, 6, parts.shape.hidden), torch.ones(2, 6, dtype=torch.int64))
    model = _exported(Pooled(), sample, {"embeds": rows, MASK: rows})
    _made_small(model, whole)
    _look_up(model, parts.words.stored())
    return model


def picture_graph(weights: Mapping[str, NDArray[np.float32]]) -> Model:
    """EfficientNet-lite0: pixels uint8 (rows, 3, SIZE, SIZE) -> pooled float32 (rows, dim). Raises MissingExtra."""
    torch = _torch()
    from trunkline.networks.efficientnet_lite import EfficientNetLite

    network = EfficientNetLite(1, weights)

    class Pooled(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels: Any) -> Any:
            return torch.nn.functional.normalize(network.places(pixels).mean((2, 3)), dim=1)

    return _exported(Pooled(), (torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8),), {PIXELS: {0: "rows"}})


def _exported(module: Any, sample: tuple[Any, ...], free: Mapping[str, Mapping[int, str]]) -> Model:
    torch, file = _torch(), io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of branches that tracing fixes: the examples judge it
        torch.onnx.export(
            module.eval(), sample, file, input_names=list(free), output_names=[POOLED], opset_version=OPSET, dynamo=False,
            dynamic_axes={**{name: dict(axes) for name, axes in free.items()}, POOLED: {0: "rows"}},
        )  # fmt: skip
    return onnx_package().load_from_string(file.getvalue())


def _made_small(model: Model, whole: bool) -> None:
    """The matrices of linear layers as int8 with a scale for each output, tables that are looked into as float16."""
    helper, users = onnx_package().helper, _users(model)
    for weight in list(model.graph.initializer):
        operator, place = users.get(weight.name, ("", 0))
        values = onnx_package().numpy_helper.to_array(weight)
        if values.ndim != 2 or values.size < _SMALL or values.dtype != np.float32:
            continue
        if whole and (operator, place) == ("MatMul", 1):
            rounded, scale = whole_numbers(values.T)
            parts: list[tuple[str, NDArray[Any]]] = [("w", np.ascontiguousarray(rounded.T)), ("s", scale[:, 0]), ("z", np.zeros(len(scale), np.int8))]
            made = _stored(model, weight.name, parts)
            node = helper.make_node("DequantizeLinear", made, [weight.name], axis=1)
        elif (operator, place) == ("Gather", 0):
            made = _stored(model, weight.name, [("h", values.astype(np.float16))])
            node = helper.make_node("Cast", made, [weight.name], to=onnx_package().TensorProto.FLOAT)
        else:
            continue
        model.graph.initializer.remove(weight)
        model.graph.node.insert(0, node)


def _stored(model: Model, name: str, parts: list[tuple[str, NDArray[Any]]]) -> list[str]:
    arrays = [onnx_package().numpy_helper.from_array(values, f"{name}_{mark}") for mark, values in parts]
    model.graph.initializer.extend(arrays)
    return [array.name for array in arrays]


def _users(model: Model) -> dict[str, tuple[str, int]]:
    """Weight -> the operator that takes it, and where."""
    return {name: (node.op_type, at) for node in model.graph.node for at, name in enumerate(node.input)}


def _look_up(model: Model, table: NDArray[Any]) -> None:
    """The input `embeds` becomes `ids`: rows of the table of words, in half precision."""
    onnx, graph = onnx_package(), model.graph
    graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(table, np.float16), "words"))
    graph.node.insert(0, onnx.helper.make_node("Gather", ["words", IDS], ["word_rows"], axis=0))
    graph.node.insert(1, onnx.helper.make_node("Cast", ["word_rows"], ["embeds"], to=onnx.TensorProto.FLOAT))
    others = [port for port in graph.input if port.name != "embeds"]
    del graph.input[:]
    graph.input.append(onnx.helper.make_tensor_value_info(IDS, onnx.TensorProto.INT64, ["rows", "tokens"]))
    graph.input.extend(others)


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "train") from error
    return torch
