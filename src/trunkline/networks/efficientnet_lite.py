"""EfficientNet-lite0 as PyTorch learns it further (Tan and Le 2019; `trunks.efficientnet` has the same as a graph)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from trunkline.networks.parts import Tensor
from trunkline.trunks.efficientnet import DIM, EPSILON, MEAN, SPREAD, STAGES


class EfficientNetLite(nn.Module):
    """Pixels (n, 3, side, side) of 0..255 -> logits (n, outputs). weights: by the checkpoint's names.

    Norms keep the mean and variance that they came with: those of a few small batches would be worse.
    """

    def __init__(self, outputs: int, weights: Mapping[str, NDArray[np.float32]], dropout: float = 0.2) -> None:
        super().__init__()
        self.stem = Step(3, 32, 3, 2)
        blocks = []
        for repeats, kernel, stride, expansion, given, out in STAGES:
            blocks += [Block(given, out, kernel, stride, expansion)]
            blocks += [Block(out, out, kernel, 1, expansion) for _ in range(repeats - 1)]
        self.blocks, self.head = nn.ModuleList(blocks), Step(STAGES[-1][-1], DIM, 1, 1)
        self.drop, self.out = nn.Dropout(dropout), nn.Linear(DIM, outputs)
        nn.init.zeros_(self.out.bias)
        nn.init.normal_(self.out.weight, 0, 0.01)
        scale = torch.tensor(SPREAD)[:, None, None] * 255
        self.middle: Tensor
        self.spread: Tensor
        self.register_buffer("middle", torch.tensor(MEAN)[:, None, None] * 255, persistent=False)
        self.register_buffer("spread", scale, persistent=False)
        self.start_from(weights)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.out(self.drop(functional.normalize(self.places(pixels).mean((2, 3)), dim=1) * DIM**0.5))

    def places(self, pixels: Tensor) -> Tensor:
        """-> (n, DIM, side / 32, side / 32)."""
        x = self.stem((pixels.to(self.out.weight.dtype) - self.middle) / self.spread)
        for block in self.blocks:
            x = block(x)
        return self.head(x)

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()
        return self

    def start_from(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Raises KeyError for a checkpoint that lacks a weight."""
        self.stem.start_from(weights, "_conv_stem", "_bn0")
        self.head.start_from(weights, "_conv_head", "_bn1")
        for at, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            block.start_from(weights, f"_blocks.{at}.")


class Step(nn.Module):
    """A convolution padded as TensorFlow's SAME, its norm, and the values between 0 and 6 unless `plain`."""

    def __init__(self, given: int, out: int, kernel: int, stride: int, groups: int = 1, plain: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(given, out, kernel, stride, groups=groups, bias=False)
        self.norm, self.plain = nn.BatchNorm2d(out, eps=EPSILON), plain

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        pads = [max((-(-int(side) // stride) - 1) * stride + kernel - int(side), 0) for side in x.shape[:1:-1]]
        x = functional.pad(x, [part for pad in pads for part in (pad // 2, pad - pad // 2)])
        x = self.norm(self.conv(x))
        return x if self.plain else x.clamp(0, 6)

    def start_from(self, weights: Mapping[str, NDArray[np.float32]], conv: str, norm: str) -> None:
        with torch.no_grad():
            self.conv.weight.copy_(torch.from_numpy(np.array(weights[f"{conv}.weight"])))
            for name in ("weight", "bias", "running_mean", "running_var"):
                getattr(self.norm, name).copy_(torch.from_numpy(np.array(weights[f"{norm}.{name}"])))


class Block(nn.Module):
    """An inverted bottleneck: widen, look around channel by channel, narrow, add."""

    def __init__(self, given: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = given * expansion
        self.widen = Step(given, inner, 1, 1) if expansion != 1 else nn.Identity()
        self.look = Step(inner, inner, kernel, stride, groups=inner)
        self.narrow = Step(inner, out, 1, 1, plain=True)
        self.adds = given == out and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        inner = self.narrow(self.look(self.widen(x)))
        return x + inner if self.adds else inner

    def start_from(self, weights: Mapping[str, NDArray[np.float32]], name: str) -> None:
        if isinstance(self.widen, Step):
            self.widen.start_from(weights, f"{name}_expand_conv", f"{name}_bn0")
        self.look.start_from(weights, f"{name}_depthwise_conv", f"{name}_bn1")
        self.narrow.start_from(weights, f"{name}_project_conv", f"{name}_bn2")
