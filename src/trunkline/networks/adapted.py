"""A trunk that is learned further, alone or with one linear layer on top, as PyTorch has it.

All of the trunk's layers: Devlin et al. 2019, https://arxiv.org/abs/1810.04805; or small matrices beside them (LoRA):
Hu et al. 2021, https://arxiv.org/abs/2106.09685, by peft.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trunkline.networks.text_encoder import TextEncoder
from trunkline.trunks.bert import BertParts
from trunkline.trunks.bert_graph import LINEARS, linears

LIKE = 16  # texts of like length that go through together


class Vectors(nn.Module):
    """rank: of LoRA's matrices, 0 = every layer learns. alpha: B A counts alpha / rank. dropout: in the trunk's layers, or
    before A. Its state holds only what learns."""

    def __init__(self, parts: BertParts, dropout: float, rank: int = 0, alpha: int = 0) -> None:
        super().__init__()
        self.encoder = TextEncoder(parts, 0.0 if rank else dropout)
        if rank:
            _add_lora(self.encoder.bert, rank, alpha, dropout)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """int64 (n, t), and 1 where a token is -> the trunk's pooled vectors (n, dim).

        Texts of like length go through together, no longer than the longest of them: in a batch of any texts most of
        what the longest one costs would be padding.
        """
        lengths = mask.sum(1)
        order = lengths.argsort(stable=True)
        found = [self.encoder.vectors(ids[at, : int(lengths[at[-1]])], mask[at, : int(lengths[at[-1]])]) for at in torch.split(order, LIKE)]
        return torch.cat(found)[order.argsort()]

    def learned(self) -> dict[str, NDArray[np.float32]]:
        """As `trunks.adapted.adapted` takes it."""
        return self.factors() or self.encoder.learned()

    def factors(self) -> dict[str, NDArray[np.float32]]:
        """LoRA's A (r, in) and B (out, r) of each layer, its scale within B; empty without."""
        found = {}
        for name in linears(self.encoder.parts.shape):
            layer: Any = self.encoder.bert.get_submodule(name)
            if hasattr(layer, "lora_A"):
                low, high = (part["default"].weight.detach().float().cpu() for part in (layer.lora_A, layer.lora_B))
                found[f"{name}.A"], found[f"{name}.B"] = low.numpy(), (high * layer.scaling["default"]).numpy()
        return found

    def state_dict(self, *args: Any, **named: Any) -> dict[str, Any]:  # type: ignore[override]
        """Of what learns: a checkpoint needs no copy of the trunk."""
        learning = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        return {name: tensor for name, tensor in super().state_dict(*args, **named).items() if name in learning}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        return super().load_state_dict(state, strict=False, assign=assign)


class Adapted(Vectors):
    """With a layer on top, learned together; dropout: before it, too."""

    def __init__(self, parts: BertParts, outputs: int, dropout: float, rank: int = 0, alpha: int = 0) -> None:
        super().__init__(parts, dropout, rank, alpha)
        width = parts.shape.dense[-1].weight.shape[0] if parts.shape.dense else parts.shape.hidden
        self.drop = nn.Dropout(dropout)
        self.out = nn.Linear(width, outputs)
        # numbers of variance about 1, as a layer expects them, where the trunk gives vectors of length 1
        self.spread = float(width**0.5) if parts.shape.normalize else 1.0

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """int64 (n, t), and 1 where a token is -> scores (n, outputs)."""
        scores: Tensor = self.out(self.drop(self.encoder.vectors(ids, mask) * self.spread))
        return scores

    def top(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(weights (width, outputs), bias (outputs,)) of the layer on the trunk's vectors."""
        return top_of(self.out, self.spread)


class OnVectors(nn.Module):
    """A layer on a trunk's vectors of length 1, which don't change."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.out, self.spread = nn.Linear(width, outputs), float(width**0.5)

    def forward(self, vectors: Tensor) -> Tensor:
        """(n, width) -> scores (n, outputs)."""
        scores: Tensor = self.out(vectors * self.spread)
        return scores

    def top(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As of `Adapted`."""
        return top_of(self.out, self.spread)


def top_of(layer: nn.Linear, spread: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(weights (width, outputs), bias (outputs,)) on vectors that went in `spread` times as long."""
    weights, bias = layer.weight.detach().cpu().numpy(), layer.bias.detach().cpu().numpy()
    return np.ascontiguousarray(weights.T * np.float32(spread)), bias.copy()


class Tagging(Adapted):
    """The same for parts of a text (atoms): each by its own vector, the one before and the one after, of the trunk's
    last hidden states."""

    def __init__(self, parts: BertParts, outputs: int, dropout: float, rank: int = 0, alpha: int = 0) -> None:
        super().__init__(parts, outputs, dropout, rank, alpha)
        self.out, self.spread = nn.Linear(3 * parts.shape.hidden, outputs), 1.0

    def forward(  # type: ignore[override]
        self, ids: Tensor, mask: Tensor, atom: Tensor, place: Tensor, share: Tensor, before: Tensor, after: Tensor
    ) -> Tensor:
        """ids, mask (windows, t). Token `place` (of all windows, flat) counts `share` in atom `atom`, all (m,). before,
        after: (atoms,) the neighbours' numbers, one more than there are atoms where there is none. -> (atoms, outputs)."""
        states = self.encoder(ids, mask).flatten(0, 1)
        own = states.new_zeros(len(before) + 1, states.shape[1])
        own = own.index_add(0, atom, states[place] * share[:, None].to(states.dtype))
        around = torch.cat([own[:-1], own[before], own[after]], dim=1)
        scores: Tensor = self.out(self.drop(around))
        return scores


def _add_lora(bert: nn.Module, rank: int, alpha: int, dropout: float) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(LINEARS), bias="none")
    inject_adapter_in_model(config, bert)
