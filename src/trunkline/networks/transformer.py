"""A Transformer encoder for text: Vaswani et al. 2017, "Attention Is All You Need", with the norm before each part
(Xiong et al. 2020: learns without a long warm-up). Attention, mask and positions are written out.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from trunkline.networks.parts import ACTIVATIONS, Activation, Embedding, Initial, Tensor, initialise

PRESETS = {
    "small": {"width": 64, "heads": 4, "layers": 2},
    "base": {"width": 128, "heads": 4, "layers": 4},
}


class TextTransformer(nn.Module):
    """ids (n, tokens), 0 = padding -> logits (n, outputs)."""

    places: Tensor  # (longest, width)

    def __init__(
        self, words: int, outputs: int, size: str = "small", longest: int = 512, dropout: float = 0.2,
        activation: Activation = "gelu", initial: Initial = "xavier",
    ) -> None:  # fmt: skip
        super().__init__()
        width, heads, layers = (PRESETS[size][name] for name in ("width", "heads", "layers"))
        self.embed = Embedding(words, width)
        self.register_buffer("places", positions(longest, width), persistent=False)
        self.layers = nn.ModuleList(Layer(width, heads, dropout, activation) for _ in range(layers))
        self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(dropout)
        self.out = nn.Linear(width, outputs)
        initialise(self, initial)

    def forward(self, ids: Tensor) -> Tensor:
        told = ids != 0
        x = self.embed(ids) * math.sqrt(self.norm.normalized_shape[0]) + self.places[: ids.shape[1]]
        x = self.drop(x)
        for layer in self.layers:
            x = layer(x, told)
        x = self.norm(x) * told[:, :, None]
        return self.out(self.drop(x.sum(1) / told.sum(1, keepdim=True)))  # the mean over the text's own words


class Layer(nn.Module):
    """x + attention(norm(x)), then x + network(norm(x)): two residual paths."""

    def __init__(self, width: int, heads: int, dropout: float, activation: Activation) -> None:
        super().__init__()
        self.attend = Attention(width, heads)
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.act, self.drop = ACTIVATIONS[activation](), nn.Dropout(dropout)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        x = x + self.drop(self.attend(self.before(x), told))
        return x + self.drop(self.narrow(self.act(self.wide(self.between(x)))))


class Attention(nn.Module):
    """softmax(q k' / sqrt(d)) v in each head of d = width / heads, over the words that `told` marks."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = (
            part(x).reshape(n, tokens, self.heads, width // self.heads).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )  # (n, heads, tokens, d)
        scores = q @ k.transpose(2, 3) / math.sqrt(width // self.heads)
        scores = scores.masked_fill(~told[:, None, None, :], -1e9)  # no word looks at padding
        mixed = scores.softmax(3) @ v
        return self.out(mixed.transpose(1, 2).reshape(n, tokens, width))


def positions(longest: int, width: int) -> Tensor:
    """(longest, width): sin(p / 10000^(2i/width)) at even places, the cosine at odd ones."""
    place = torch.arange(longest, dtype=torch.float32)[:, None]
    slow = torch.exp(-math.log(10_000) * torch.arange(0, width, 2, dtype=torch.float32) / width)
    return torch.stack([torch.sin(place * slow), torch.cos(place * slow)], 2).reshape(longest, width)
