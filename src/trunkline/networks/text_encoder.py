"""A BERT-like trunk as PyTorch learns it further: its own weights, its words left as they are.

Devlin et al. 2019, https://arxiv.org/abs/1810.04805. The layers are transformers' BertModel, so that peft and the
names of `trunks.bert_graph` fit them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from trunkline.errors import TrunkError
from trunkline.trunks.bert import BertParts
from trunkline.trunks.bert_graph import linears
from trunkline.types import Call, Engine

EMBEDDINGS = "embeddings."  # parameters of this beginning stay as they are, but for the norm


class TextEncoder(nn.Module):
    """parts: from a trunk's `parts()`. dropout: in the layers, while learning.

    Word, position and type embeddings lie outside and never change: `bert`'s parameters are those that the trunk's
    graph holds, under the same names. Raises TrunkError for an activation that transformers doesn't have.
    """

    def __init__(self, parts: BertParts, dropout: float = 0.1) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        shape = parts.shape
        inner = len(parts.weight("encoder.layer.0.intermediate.dense.bias"))
        try:
            config = BertConfig(
                vocab_size=1, hidden_size=shape.hidden, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
                intermediate_size=inner, max_position_embeddings=len(parts.positions), type_vocab_size=1,
                layer_norm_eps=shape.epsilon, hidden_act=shape.activation, hidden_dropout_prob=dropout,
                attention_probs_dropout_prob=0.0,  # with it no fused attention: a sixth of the time for little
            )  # fmt: skip
            self.bert = BertModel(config, add_pooling_layer=False)
        except KeyError as error:
            raise TrunkError("this encoder's activation is not known", found=str(error)) from None
        self.parts = parts
        _narrow(self.bert, parts)
        own = {name: parameter for name, parameter in self.bert.named_parameters() if not _outside(name)}
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(torch.from_numpy(np.array(parts.weight(name))).reshape(parameter.shape))
            embeddings = self.bert.embeddings
            embeddings.position_embeddings.weight.copy_(torch.from_numpy(parts.positions))
            for embedding in (embeddings.word_embeddings, embeddings.token_type_embeddings):
                embedding.weight.zero_()
        for name, parameter in self.bert.named_parameters():
            parameter.requires_grad_(name in own)
        self.dense = [(torch.from_numpy(np.array(one.weight)), one) for one in shape.dense]

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids with prefix and marks, cut to the trunk's limit."""
        return self.parts.tokenizer.encode(texts)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """int64 (n, t), and 1 where a token is -> last hidden states (n, t, hidden)."""
        return self.states(self.embedded(ids), mask)

    def embedded(self, ids: Tensor) -> Tensor:
        """int64 (n, t) -> word vectors (n, t, hidden) from the trunk's table, on the device of `ids`."""
        return torch.from_numpy(self.parts.words.rows(ids.cpu().numpy())).to(ids.device)

    def states(self, embeds: Tensor, mask: Tensor) -> Tensor:
        """Word vectors (n, t, hidden) -> last hidden states of the same shape."""
        found: Tensor = self.bert(inputs_embeds=embeds, attention_mask=mask).last_hidden_state
        return found

    def pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        """(n, t, hidden) -> (n, dim) as the trunk's form `pooled` has it."""
        shape, keep = self.parts.shape, mask[..., None].to(states.dtype)
        if shape.pooling == "cls":
            out = states[:, 0]
        elif shape.pooling == "max":
            out = states.masked_fill(keep == 0, float("-inf")).amax(dim=1)
        else:
            out = (states * keep).sum(dim=1) / keep.sum(dim=1)
        for weight, layer in self.dense:
            bias = None if layer.bias is None else torch.from_numpy(np.array(layer.bias)).to(out)
            out = functional.linear(out, weight.to(out), bias)
            out = torch.tanh(out) if layer.tanh else out
        return functional.normalize(out, dim=1) if shape.normalize else out

    def vectors(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(n, t) ids and mask -> (n, dim) pooled."""
        return self.pooled(self(ids, mask), mask)

    def agreement(self, engine: Engine, texts: Sequence[str]) -> float:
        """The least cosine between the vectors that the engine serves and these."""
        with torch.no_grad():
            wanted = self.vectors(*padded(self.tokens(texts))).double().numpy()
        found = np.asarray(engine.run(Call(engine.card.id, list(texts))), np.float64)
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
        return float(((found * wanted).sum(axis=1) / lengths).min())

    def learned(self) -> dict[str, NDArray[np.float32]]:
        """The weights that may differ from the trunk's, float32, by the names of `BertParts.weight`."""
        own = ((name, parameter) for name, parameter in self.bert.named_parameters() if not _outside(name))
        return {name: parameter.detach().float().cpu().numpy() for name, parameter in own}


def _narrow(bert: nn.Module, parts: BertParts) -> None:
    """Linear layers that were cut, as wide as the parts have them: transformers' attention takes the number of heads from
    what its layers give."""
    for name in linears(parts.shape):
        outputs, inputs = parts.weight(f"{name}.weight").shape
        layer: Any = bert.get_submodule(name)
        if layer.weight.shape != (outputs, inputs):
            bert.set_submodule(name, nn.Linear(inputs, outputs))


def padded(ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """int64 (n, longest) ids, 0 behind each, and mask, 1 where a token is."""
    block = np.zeros((len(ids), max(map(len, ids))), np.int64)
    mask = np.zeros_like(block)
    for at, row in enumerate(ids):
        block[at, : len(row)] = row
        mask[at, : len(row)] = 1
    return torch.from_numpy(block), torch.from_numpy(mask)


def _outside(name: str) -> bool:
    """Does the parameter lie outside the trunk's graph?"""
    return name.startswith(EMBEDDINGS) and "LayerNorm" not in name


