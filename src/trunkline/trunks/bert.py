"""BERT-like encoders at serving time: embeddings mapped from a file, the transformer in OpenVINO."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.openvino import OpenVinoSession
from trunkline.engines.text import BatchEncoder, Tokenizer
from trunkline.trunks.bert_graph import POOLED, TOKENS, BertShape, Weight
from trunkline.trunks.tables import Table

GRAPH, WORDS, POSITIONS = "graph.xml", "words.npy", "positions.npy"


@dataclass(frozen=True)
class BertParts:
    """What a BERT-like trunk is made of, before any runtime: what learning goes on from.

    weight: float32 arrays by their names in transformers' BertModel, all but the word, position and type embeddings.
    words: the table of word embeddings. positions: float32 (tokens, hidden), position plus type. precision: of its graph.
    """

    shape: BertShape
    weight: Weight
    words: Table
    positions: NDArray[np.float32]
    tokenizer: Tokenizer
    precision: str


class BertEncoder(BatchEncoder):
    """folder holds GRAPH, and POSITIONS: float32 (tokens, hidden), position plus type embeddings."""

    def __init__(self, folder: Path, words: Table, precision: str) -> None:
        self._words = words
        self._positions = np.load(folder / POSITIONS, allow_pickle=False)
        self._session = OpenVinoSession(folder / GRAPH, precision)

    def pooled(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._run(ids, lengths, POOLED)

    def tokens(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._run(ids, lengths, TOKENS)

    def _run(
        self, ids: NDArray[np.int64], lengths: NDArray[np.int64], output: int
    ) -> NDArray[np.float32]:
        padded = ids.shape[1]
        embeds = self._words.rows(ids) + self._positions[:padded]
        mask = (np.arange(padded) < lengths[:, None]).astype(np.float32)
        return self._session.run([embeds, mask], [output])[0]
