"""Learning to see without labels: blocks of a picture are hidden, and the network draws what was there.

He et al. 2022 (masked autoencoders), https://arxiv.org/abs/2111.06377; for convolutions, Xie et al. 2022 (SimMIM),
https://arxiv.org/abs/2111.09886: hidden blocks stay in the picture as its mean, and one layer draws.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from trunkline.networks.cnn import ImageCnn
from trunkline.networks.parts import Tensor

HIDDEN = 0.6  # share of the blocks


class MaskedPatches(nn.Module):
    """Learns the body of an `ImageCnn` for pictures of any size; `patch` pixels a side are one place of its last layer."""

    def __init__(self, cnn: ImageCnn, channels: int) -> None:
        super().__init__()
        self.cnn = cnn
        self.patch = 2 ** sum(isinstance(part, nn.MaxPool2d) for part in cnn.body)
        self.draw = nn.Conv2d(cnn.out.in_features, channels * self.patch**2, 1)

    def forward(self, pixels: Tensor, hidden: Tensor) -> Tensor:
        """(n, channels, h, w) of 0..255 and bool (n, places, places), true = hidden -> the loss: the mean square of
        what was drawn less what was there, over hidden blocks, each block at a mean of 0 and a variance of 1."""
        wanted = self.blocks(pixels.float())
        middle, spread = wanted.mean(1, keepdim=True), wanted.std(1, keepdim=True)
        wanted = (wanted - middle) / (spread + 8)  # a block of one colour has nothing to draw
        cover = hidden[:, None].repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)
        height, width = pixels.shape[2:]
        shown = torch.where(cover[..., :height, :width], 127.5, pixels.float())
        found = self.draw(self.cnn.places(shown))
        error = ((found - wanted) ** 2).mean(1)
        return (error * hidden).sum() / hidden.sum()

    def blocks(self, pixels: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, c * patch * patch, places, places); past the edge is the edge's colour."""
        height, width = pixels.shape[2:]
        pad = (0, -width % self.patch, 0, -height % self.patch)
        return nn.functional.pixel_unshuffle(nn.functional.pad(pixels, pad, mode="replicate"), self.patch)


def hide(rows: int, places: tuple[int, int], rng: np.random.Generator, share: float = HIDDEN) -> Tensor:
    """bool (rows, *places): the same number of blocks of each picture, at least one."""
    count = places[0] * places[1]
    order = rng.random((rows, count)).argsort(axis=1)
    return torch.from_numpy((order < max(1, round(share * count))).reshape(rows, *places))
