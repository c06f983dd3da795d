"""Masked-language modelling: some tokens of a text are hidden, and the encoder learns to say which they were.

Devlin et al. 2019, https://arxiv.org/abs/1810.04805, section 3.1. Unlike there, the words stay as they are: what is
said is compared with the trunk's own word vectors (tied weights: Press, Wolf 2017), of the words that occur only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from trunkline.networks.text_encoder import TextEncoder

CHOSEN = 0.15  # of a text's own tokens
MASKED, RANDOM = 0.8, 0.1  # of the chosen; the rest stay as they are


class MaskedLanguage(nn.Module):
    """words (C,): the token ids that may be said, in order; counts (C,): how often each occurs.

    Weights of the head that says them are drawn from torch's generator; its bias starts at the words' frequencies.
    """

    def __init__(self, encoder: TextEncoder, words: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        super().__init__()
        hidden = encoder.parts.shape.hidden
        table = torch.from_numpy(encoder.parts.words.rows(words))
        self.encoder, self.table = encoder, table
        self.dense, self.norm = nn.Linear(hidden, hidden), nn.LayerNorm(hidden)
        self.bias = nn.Parameter(torch.from_numpy(np.log((counts + 1) / (counts + 1).sum())).float())
        nn.init.constant_(self.norm.weight, 1 / float(table.norm(dim=1).mean()))  # scores begin at a spread of about 1

    def forward(self, ids: Tensor, mask: Tensor, chosen: Tensor) -> Tensor:
        """(n, t) ids, mask (1 where a token is) and chosen (bool) -> scores (chosen, C) of what stood there."""
        states = self.encoder(ids, mask)[chosen]
        said = self.norm(functional.gelu(self.dense(states)))
        return functional.linear(said, self.table.to(said), self.bias.to(said.dtype))


def hide(
    ids: NDArray[np.int64], own: NDArray[np.bool_], words: Sequence[int] | NDArray[np.int64], mark: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """(ids with some hidden, which), both (n, t).

    Of each text's own tokens (own: no mark, no prefix, no padding) CHOSEN are chosen, one at least; of those MASKED
    become `mark`, RANDOM any of `words`, and the rest stay.
    """
    draw = np.where(own, rng.random(ids.shape), np.inf)
    chosen = draw < CHOSEN
    some = np.flatnonzero(own.any(axis=1))
    chosen[some, draw[some].argmin(axis=1)] = True
    how = rng.random(ids.shape)
    other = np.asarray(words)[rng.integers(len(words), size=ids.shape)]
    found = np.where(chosen & (how < MASKED), mark, ids)
    return np.where(chosen & (how >= MASKED) & (how < MASKED + RANDOM), other, found), chosen
