"""A network for tables: hidden layers over numbers and embedded categories (Guo and Berkhahn 2016)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

from trunkline.networks.parts import ACTIVATIONS, Activation, Initial, Tensor, initialise

PRESETS = {"small": {"hidden": 64, "layers": 2}, "base": {"hidden": 256, "layers": 3}}
WIDEST = 32  # of a category's embedding


class TableMlp(nn.Module):
    """numbers float (n, k), nan = missing, and codes int64 (n, c), -1 = unseen or missing -> logits (n, outputs).

    sizes: known values of each of the c category columns.
    """

    def __init__(
        self, numbers: int, sizes: tuple[int, ...], outputs: int, size: str = "small", dropout: float = 0.1,
        activation: Activation = "relu", initial: Initial = "he",
    ) -> None:  # fmt: skip
        super().__init__()
        hidden, layers = PRESETS[size]["hidden"], PRESETS[size]["layers"]
        self.numbers, self.sizes = numbers, sizes
        self.embed = nn.ModuleList(nn.Embedding(known + 1, width(known)) for known in sizes)
        widths = [2 * numbers + sum(map(width, sizes)), *[hidden] * layers]
        parts = [(nn.Linear(a, b), ACTIVATIONS[activation](), nn.Dropout(dropout)) for a, b in pairwise(widths)]
        self.hidden = nn.Sequential(*(part for group in parts for part in group))
        self.out = nn.Linear(hidden, outputs)
        initialise(self, initial)

    def forward(self, *given: Tensor) -> Tensor:
        """Numbers first if the table has any, then codes."""
        parts, left = [], list(given)
        if self.numbers:
            cells = left.pop(0)
            absent = torch.isnan(cells)
            parts += [torch.where(absent, torch.zeros_like(cells), cells).clamp(-8, 8), absent.float()]
        if self.sizes:
            codes = left.pop(0) + 1  # 0 = unseen
            parts += [table(codes[:, at]) for at, table in enumerate(self.embed)]
        return self.out(self.hidden(torch.cat(parts, 1)))


def width(known: int) -> int:
    """Of a category's embedding: about the square root of its values."""
    return min(WIDEST, math.isqrt(known) + 1)
