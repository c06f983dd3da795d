"""A small convolutional network for sound: log-mel pictures read as images are (Hershey et al. 2017).

Padding: frames behind a sound's end are taken out after every layer, so that they never reach the answer.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from trunkline.networks.cnn import step
from trunkline.networks.parts import Activation, Initial, Tensor, initialise

PRESETS = {"small": (24, 48, 96), "base": (48, 96, 192, 192)}
PADDING = -1e4  # value of frames behind a sound's end; no logarithm of a sound is as low
LOW = -1e9  # no maximum


class AudioCnn(nn.Module):
    """Log-mel (n, frames, mels) float, `PADDING` behind the end -> logits (n, outputs)."""

    def __init__(
        self, outputs: int, size: str = "small", dropout: float = 0.3, activation: Activation = "relu", initial: Initial = "he"
    ) -> None:
        super().__init__()
        widths = PRESETS[size]
        pairs = zip((1, *widths), widths, strict=False)
        self.steps = nn.ModuleList(nn.Sequential(*step(before, after, activation)) for before, after in pairs)
        self.drop, self.out = nn.Dropout(dropout), nn.Linear(2 * widths[-1], outputs)
        initialise(self, initial)

    def forward(self, mels: Tensor) -> Tensor:
        told = (mels[:, None, :, :1] > PADDING).float()  # (n, 1, frames, 1)
        x = levelled(mels[:, None], told)
        for layer in self.steps:
            x = functional.max_pool2d(layer(x).masked_fill(told == 0, LOW), 2, ceil_mode=True)
            told = functional.max_pool2d(told, (2, 1), ceil_mode=True)
            x = x.masked_fill(told == 0, 0)
        x = x.mean(3)  # (n, width, frames / 2 ** steps)
        held = told[:, :, :, 0]
        mean, strongest = (x * held).sum(2) / held.sum(2), x.masked_fill(held == 0, LOW).amax(2)
        return self.out(self.drop(torch.cat([mean, strongest], 1)))


def levelled(x: Tensor, told: Tensor) -> Tensor:
    """Each sound less its own mean, so that loudness says nothing; padding 0."""
    x = x * told
    mean = x.sum((2, 3), keepdim=True) / (told.sum((2, 3), keepdim=True) * x.shape[3])
    return (x - mean) * told / 3
