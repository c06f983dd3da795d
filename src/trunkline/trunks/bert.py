"""BERT-like encoders at serving time: embeddings read from a file, the transformer in OpenVINO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.openvino import OpenVinoSession
from trunkline.engines.text import BatchEncoder, Tokenizer
from trunkline.trunks.bert_graph import POOLED, TOKENS, BertShape, Weight
from trunkline.trunks.shared import Shared
from trunkline.trunks.tables import Table
from trunkline.types import Trunk

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


@dataclass(frozen=True, eq=False)
class Front:
    """What stands before a trunk's graph: the trunk and all that was adapted from it share one."""

    tokenizer: Tokenizer
    words: Table
    positions: NDArray[np.float32]


_FRONTS: Shared[Front] = Shared()


def front(fingerprint: str, folder: Path, tokenizer: Callable[[], Tokenizer], words: Callable[[Path], Table]) -> Front:
    """Of the trunk with this fingerprint, from its converted folder: the one in memory if there is one."""

    def make() -> Front:
        return Front(tokenizer(), words(folder / WORDS), np.load(folder / POSITIONS, allow_pickle=False))

    return _FRONTS.get(fingerprint, make)


class BertTrunk(Trunk, Protocol):
    """A trunk that can be adapted."""

    def parts(self) -> BertParts:
        """For learning on. Raises TrunkError where the encoder is not of BERT's family."""
        ...

    def front(self) -> Front: ...


class BertEncoder(BatchEncoder):
    """session: of a graph by `bert_graph.build`. adapter: what a graph with adapters takes, as it names its inputs."""

    def __init__(self, before: Front, session: OpenVinoSession, adapter: Sequence[NDArray[np.float16]] = ()) -> None:
        self._front, self._session = before, session  # held, so that the next engine finds them
        self._adapter = session.tensors(adapter)

    def pooled(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._run(ids, lengths, POOLED)

    def tokens(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._run(ids, lengths, TOKENS)

    def _run(
        self, ids: NDArray[np.int64], lengths: NDArray[np.int64], output: int
    ) -> NDArray[np.float32]:
        padded = ids.shape[1]
        embeds = self._front.words.rows(ids) + self._front.positions[:padded]
        mask = (np.arange(padded) < lengths[:, None]).astype(np.float32)
        return self._session.run([embeds, mask], [output], self._adapter)[0]
