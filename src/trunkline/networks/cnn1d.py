"""A convolutional network for text: Kim 2014, "Convolutional Neural Networks for Sentence Classification".

Windows of 3, 4 and 5 words slide over a text; of each filter only its strongest answer counts.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from trunkline.networks.parts import ACTIVATIONS, Activation, Embedding, Initial, Tensor, initialise

PRESETS = {"small": {"width": 64, "filters": 64}, "base": {"width": 128, "filters": 128}}
WINDOWS = (3, 4, 5)


class TextCnn(nn.Module):
    """ids (n, tokens), 0 = padding -> logits (n, outputs)."""

    def __init__(
        self, words: int, outputs: int, size: str = "small", dropout: float = 0.5,
        activation: Activation = "relu", initial: Initial = "he",
    ) -> None:  # fmt: skip
        super().__init__()
        width, filters = PRESETS[size]["width"], PRESETS[size]["filters"]
        self.embed = Embedding(words, width)
        self.windows = nn.ModuleList(nn.Conv1d(width, filters, window) for window in WINDOWS)
        self.act = ACTIVATIONS[activation]()
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(filters * len(WINDOWS), outputs)
        initialise(self, initial)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids).transpose(1, 2)  # (n, width, tokens)
        edge = max(WINDOWS) - 1
        x = functional.pad(x, (edge, edge))  # so that one word fills a window, and every text ends alike
        told = functional.pad((ids != 0).to(x.dtype), (edge, edge))  # (n, tokens + 2 edges)
        windows = zip(self.windows, WINDOWS, strict=True)
        return self.out(self.drop(torch.cat([self._strongest(conv, size, x, told) for conv, size in windows], 1)))

    def _strongest(self, conv: nn.Module, size: int, x: Tensor, told: Tensor) -> Tensor:
        """(n, filters): the strongest answer of the windows that hold a word of the text at all."""
        found = self.act(conv(x))  # (n, filters, places)
        held = functional.max_pool1d(told[:, None], size, stride=1)  # (n, 1, places) 1 where a word is
        return found.masked_fill(held == 0, -1e9).amax(2)
