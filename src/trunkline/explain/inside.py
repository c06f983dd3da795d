"""What a written-out network looks with: the first filters of one that reads pictures, the attention of one that reads words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.inside import Inside
from trunkline.engines.looked import ATTENTION
from trunkline.engines.own import Owned, OwnNetwork
from trunkline.heads.dense import texts_of
from trunkline.heads.onnx import OnnxHead
from trunkline.types import Head, Inputs, Steps
from trunkline.vocabulary import tokens_of

FILTERS, SIDE = 64, 7  # shown at most, and pixels a side that can be shown
WORDS = 24  # of a text, the first ones
COLUMNS = 32  # heads of all layers together
Kind = Literal["area", "edge", "detail"]
Pixel = tuple[int, int, int]


@dataclass(frozen=True)
class Filter:
    """kind: what holds most of its weight: an even area of colour, a change from one side to the other, or what is finer.
    pixels: side * side of them, row by row; 127 and 128 stand for 0, and one scale holds for all filters of a network."""

    kind: Kind
    side: int
    pixels: Sequence[Pixel]


@dataclass(frozen=True)
class Attention:
    """words: the first ones of a row; more: how many follow. shares: of each layer, of each head, the share of all words'
    attention that each of these words gets."""

    words: Sequence[str]
    more: int
    shares: Sequence[Sequence[Sequence[float]]]


def filters_of(head: Head, networks: Mapping[str, Owned]) -> list[Filter]:
    """[] for any other product than one with a network that reads pictures. Raises OSError."""
    network = networks.get(getattr(head, "engine", ""))
    if not isinstance(head, OnnxHead) or not isinstance(network, OwnNetwork) or not any(tensor.side for tensor in head.tensors):
        return []
    weights = Inside.of(network.model).filters()
    if weights is None or weights.shape[2] != weights.shape[3] or weights.shape[3] > SIDE:
        return []
    scaled = np.rint(127.5 + 127.5 * weights / max(float(np.abs(weights).max()), 1e-12)).astype(int)[:FILTERS]
    return [
        Filter(kind_of(filter_), filter_.shape[2], [(r, g, b) for r, g, b in pixels.transpose(1, 2, 0).reshape(-1, 3).tolist()])
        for filter_, pixels in zip(weights, scaled, strict=False)
    ]


def kind_of(weights: NDArray[np.float32]) -> Kind:
    """Of a filter (3, side, side): whether its mean, its slope or what is left has most of its squared weight."""
    side = weights.shape[2]
    along = np.arange(side) - (side - 1) / 2
    mean = weights.mean((1, 2), keepdims=True)
    steep = max(float((along * along).sum()) * side, 1e-12)
    slopes = ((weights * along[shape]).sum((1, 2)) ** 2 / steep for shape in (np.s_[None, :], np.s_[:, None]))
    area, edge = float((mean**2).sum() * side * side), float(sum(slope.sum() for slope in slopes))
    found: dict[Kind, float] = {"area": area, "edge": edge, "detail": float((weights**2).sum()) - area - edge}
    return max(found, key=lambda kind: found[kind])


def attention_of(head: Head, rows: Sequence[Inputs]) -> Steps[list[Attention | None]]:
    """Of each row; None for a text without words, and wherever the network doesn't attend."""
    reading = [tensor for tensor in head.tensors if tensor.longest] if isinstance(head, OnnxHead) else []
    if not reading:
        return [None] * len(rows)
    assert isinstance(head, OnnxHead)
    found = yield from head.looked(rows, ATTENTION)
    texts = texts_of(rows, reading[0].columns[0])
    return [_told(tokens_of(text)[: reading[0].longest], shares) for text, shares in zip(texts, found, strict=True)]


def _told(words: Sequence[str], attention: NDArray[np.float32]) -> Attention | None:
    """attention: (layers, heads, words, words), each row of words sums to 1."""
    layers, heads = attention.shape[:2]
    if not words or not 0 < layers * heads <= COLUMNS:
        return None
    shares = attention.mean(2)[:, :, :WORDS].astype(float).round(4).tolist()
    return Attention(words[:WORDS], max(0, len(words) - WORDS), shares)
