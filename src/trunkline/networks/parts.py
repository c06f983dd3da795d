"""What networks are built of: activations and initial weights by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

Tensor: TypeAlias = Any
Activation = Literal["relu", "gelu", "tanh", "sigmoid"]
Initial = Literal["he", "xavier"]
ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid,
}  # fmt: skip


def initialise(module: nn.Module, how: Initial) -> None:
    """Weights of layers and convolutions: He et al. 2015 (variance 2 / inputs, for ReLU and its like), or Glorot and
    Bengio 2010 (2 / (inputs + outputs), for tanh and sigmoid); biases 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d):
            if how == "he":
                nn.init.kaiming_normal_(part.weight)
            else:
                nn.init.xavier_normal_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class Embedding(nn.Module):
    """(n, tokens) ids -> (n, tokens, width): a row of the table each, 0 for padding."""

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(words, width, padding_idx=0)
        nn.init.normal_(self.table.weight, 0, width**-0.5)
        with torch.no_grad():
            self.table.weight[0] = 0

    def forward(self, ids: Tensor) -> Tensor:
        return self.table(ids)

    def start_from(self, vectors: Tensor) -> None:
        """Rows from vectors (words, any width) that others learned, turned into this width by their principal
        directions; the scale stays that of a table from scratch."""
        width = self.table.embedding_dim
        centred = vectors - vectors.mean(0)
        _, _, directions = torch.linalg.svd(centred, full_matrices=False)
        rows = centred @ directions[:width].T
        rows = nn.functional.pad(rows, (0, width - rows.shape[1]))
        with torch.no_grad():
            self.table.weight[2:] = (rows / rows.std().clamp(min=1e-6) * width**-0.5)[: len(self.table.weight) - 2]
