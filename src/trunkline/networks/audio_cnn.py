"""A small convolutional network for sound: log-mel pictures read as images are (Hershey et al. 2017).

Padding: frames behind a sound's end are taken out after every layer, so that they never reach the answer.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from trunkline.inputs.mels import MELS
from trunkline.networks.cnn import step
from trunkline.networks.parts import ACTIVATIONS, Activation, Initial, Tensor, initialise

PRESETS = {"small": {"widths": (24, 48, 96), "hidden": 128}, "base": {"widths": (48, 96, 192, 192), "hidden": 256}}
PADDING = -1e4  # value of frames behind a sound's end; no logarithm of a sound is as low
LOW = -1e9  # no maximum
WINDOW = 3  # frames after the steps that are joined, with all bands


class AudioCnn(nn.Module):
    """Log-mel (n, frames, bands) float, `PADDING` behind the end -> logits (n, outputs).

    A pattern may come at any time, so time is pooled; at which height it comes tells vowels apart, so bands are joined
    with weights of their own.
    """

    def __init__(
        self, outputs: int, size: str = "small", dropout: float = 0.3, activation: Activation = "relu", initial: Initial = "he",
        bands: int = MELS,
    ) -> None:  # fmt: skip
        super().__init__()
        widths: tuple[int, ...] = PRESETS[size]["widths"]  # type: ignore[assignment]
        hidden = int(PRESETS[size]["hidden"])  # type: ignore[call-overload]
        pairs = zip((1, *widths), widths, strict=False)
        self.steps = nn.ModuleList(nn.Sequential(*step(before, after, activation)) for before, after in pairs)
        left = -(-bands // 2 ** len(widths))
        self.join = nn.Conv1d(widths[-1] * left, hidden, WINDOW, padding=WINDOW // 2, bias=False)
        self.norm, self.act = nn.BatchNorm1d(hidden), ACTIVATIONS[activation]()
        self.drop, self.out = nn.Dropout(dropout), nn.Linear(2 * hidden, outputs)
        initialise(self, initial)

    def forward(self, mels: Tensor) -> Tensor:
        told = (mels[:, None, :, :1] > PADDING).float()  # (n, 1, frames, 1)
        x = levelled(mels[:, None], told)
        for layer in self.steps:
            x = functional.max_pool2d(layer(x).masked_fill(told == 0, LOW), 2, ceil_mode=True)
            told = functional.max_pool2d(told, (2, 1), ceil_mode=True)
            x = x.masked_fill(told == 0, 0)
        held = told[:, :, :, 0]  # (n, 1, frames / 2 ** steps)
        x = self.act(self.norm(self.join(self.drop(x.transpose(2, 3).flatten(1, 2))))) * held
        mean, strongest = x.sum(2) / held.sum(2), x.masked_fill(held == 0, LOW).amax(2)
        return self.out(self.drop(torch.cat([mean, strongest], 1)))


def levelled(x: Tensor, told: Tensor) -> Tensor:
    """Each sound less its own mean, so that loudness says nothing; padding 0."""
    x = x * told
    mean = x.sum((2, 3), keepdim=True) / (told.sum((2, 3), keepdim=True) * x.shape[3])
    return (x - mean) * told / 3
