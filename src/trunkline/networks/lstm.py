"""A recurrent network for text: Hochreiter and Schmidhuber 1997 (LSTM) or Cho et al. 2014 (GRU), in both directions.

Padding: the way forth is masked by reading no state behind a text's end, the way back by turning each text round in
its own length, so that it begins with its last word and never with padding.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from trunkline.networks.parts import Embedding, Initial, Tensor, initialise

PRESETS = {"small": {"width": 64, "hidden": 64}, "base": {"width": 128, "hidden": 128}}


class TextRnn(nn.Module):
    """ids (n, tokens), 0 = padding behind the text -> logits (n, outputs)."""

    def __init__(
        self, words: int, outputs: int, size: str = "small", cell: Literal["lstm", "gru"] = "lstm",
        dropout: float = 0.3, initial: Initial = "xavier",
    ) -> None:  # fmt: skip
        super().__init__()
        width, hidden = PRESETS[size]["width"], PRESETS[size]["hidden"]
        self.embed = Embedding(words, width)
        make = nn.LSTM if cell == "lstm" else nn.GRU
        self.forth, self.back = make(width, hidden, batch_first=True), make(width, hidden, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(4 * hidden, outputs)
        initialise(self, initial)

    def forward(self, ids: Tensor) -> Tensor:
        told = ids != 0
        x = self.drop(self.embed(ids))
        forth, _ = self.forth(x)
        back, _ = self.back(turned(x, told))
        states = torch.cat([forth, back], 2)  # (n, tokens, 2 hidden)
        strongest = states.masked_fill(~told[:, :, None], -1e9).amax(1)
        mean = (states * told[:, :, None]).sum(1) / told.sum(1, keepdim=True)
        return self.out(self.drop(torch.cat([strongest, mean], 1)))


def turned(x: Tensor, told: Tensor) -> Tensor:
    """(n, tokens, width) with each text turned round in place, its padding left behind it."""
    lengths = told.sum(1, keepdim=True)  # (n, 1)
    places = torch.cumsum(torch.ones_like(told, dtype=torch.int64), 1) - 1  # 0, 1, 2 ... for any length
    wanted = torch.where(told, lengths - 1 - places, places)
    return torch.gather(x, 1, wanted[:, :, None].expand(x.shape))
