"""Any Hugging Face or sentence-transformers encoder as a trunk: "hf:<id>" or "folder:<path>".

Its own onnx/model.onnx if it has one, else the graph of BERT's family built here, else exported once
by torch (the `train` extra). 32-bit floats: the precision of a stranger's weights isn't ours to lower.
"""

from __future__ import annotations

import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.onnx_check import check_onnx
from trunkline.engines.openvino import OpenVinoSession
from trunkline.engines.text import TextEngine
from trunkline.errors import TrunkError, TrunklineError
from trunkline.files import digest_file
from trunkline.trunks.bert import GRAPH, POSITIONS, WORDS, BertEncoder, BertParts, Front, front
from trunkline.trunks.bert_graph import BertShape, Dense, Weight, build
from trunkline.trunks.cache import fingerprint, prepared
from trunkline.trunks.hub_files import MODEL_TYPES, Described, describe, load_weights, locate, offset
from trunkline.trunks.onnx_encoder import OnnxEncoder
from trunkline.trunks.tables import DenseTable
from trunkline.trunks.tokenizer_json import TokenizerJson
from trunkline.trunks.torch_export import export
from trunkline.types import EngineCard, Refused

RECIPE = 2
_ACTIVATIONS = frozenset({"gelu", "relu", "gelu_new"})


class HuggingFaceTrunk:
    """A `Trunk`. Constructing it opens nothing; the card is known once the folder has been read."""

    def __init__(self, name: str) -> None:
        self.name = name

    def available(self) -> Refused | None:
        try:
            self.card  # noqa: B018 - reading it is the question
        except TrunklineError as error:
            return Refused("missing", error.line)
        return None

    @cached_property
    def described(self) -> Described:
        return describe(locate(self.name))

    @cached_property
    def road(self) -> str:
        """Which graph: "onnx" (its own), "bert" (built here) or "export" (by torch)."""
        found = self.described
        if found.file("onnx/model.onnx").is_file():
            return "onnx"
        known = found.config.get("model_type") in MODEL_TYPES
        plain = found.config.get("position_embedding_type", "absolute") == "absolute"
        acts = found.config.get("hidden_act", "gelu") in _ACTIVATIONS
        return "bert" if known and plain and acts and self._weights.is_file() else "export"

    @cached_property
    def card(self) -> EngineCard:
        found = self.described
        return EngineCard(
            id=self.name,
            fingerprint=fingerprint(
                {
                    "files": self._digests(),
                    "graph": f"{self.road}/{RECIPE}",
                    "prefix": found.prefix,
                    "max_tokens": found.max_tokens,
                    "pooling": found.pooling,
                    "normalize": found.normalize,
                    "dense": len(found.dense),
                    "precision": "f32",
                    "runtime": "openvino",
                    "bucket": BertEncoder.bucket,
                }
            ),
            kind="text",
            forms=("pooled", "tokens"),
            dim=_dim(found),
            licence="see its model card",
            source=self.name,
            max_tokens=found.max_tokens,
            precision="f32",
            runtime="openvino",
        )

    def prepare(self) -> Path:
        """The converted weights. Raises TrunkError; MissingExtra where torch is needed and absent."""
        return prepared(self.name, self.card.fingerprint, self._convert)

    def load(self) -> TextEngine:
        folder, found = self.prepare(), self.described
        if self.road == "bert":
            before = self.front()
            session = OpenVinoSession(folder / GRAPH, "f32")
            return TextEngine(self.card, before.tokenizer, BertEncoder(before, session))
        encoder = OnnxEncoder(folder / "model.onnx", found.pooling, _dense(found), found.normalize)
        return TextEngine(self.card, self._tokenizer(folder), encoder)

    def parts(self) -> BertParts:
        """For learning on. Raises TrunkError where the encoder is not of BERT's family."""
        before, (shape, weight) = self.front(), _opened(self.described, self._weights)
        return BertParts(shape, weight, before.words, before.positions, before.tokenizer, "f32")

    def front(self) -> Front:
        if self.road != "bert":
            raise TrunkError(
                "this encoder's weights can't be learned further", where=self.name,
                found=f"model_type {self.described.config.get('model_type')}, served by {self.road}",
                wanted=f"{' | '.join(sorted(MODEL_TYPES))} with model.safetensors and no onnx/model.onnx",
            )  # fmt: skip
        folder = self.prepare()
        return front(self.card.fingerprint, folder, lambda: self._tokenizer(folder), DenseTable)

    def _tokenizer(self, folder: Path) -> TokenizerJson:
        return TokenizerJson(folder / "tokenizer.json", self.described.prefix, self.described.max_tokens)

    @property
    def _weights(self) -> Path:
        return self.described.file("model.safetensors")

    def _digests(self) -> dict[str, str]:
        """sha256 of what decides the answer: tokenizer, weights or graph, dense layers."""
        found = self.described
        files = [found.file("tokenizer.json"), found.file("config.json")]
        files += [found.folder / dense / "model.safetensors" for dense in found.dense]
        if self.road == "onnx":
            graph = found.file("onnx/model.onnx")
            files += [graph, *check_onnx(graph)]
        else:
            files.append(self._weights)
        for path in files:
            if not path.is_file():
                raise TrunkError(
                    "the encoder lacks a file that can be loaded safely",
                    where=str(path),
                    found="nothing",
                    wanted="tokenizer.json and model.safetensors (pickled weights are never opened)",
                    hint="save it again with transformers' save_pretrained, which writes both",
                )
        return {path.relative_to(found.folder).as_posix(): digest_file(path) for path in files}

    def _convert(self, folder: Path) -> None:
        found = self.described
        shutil.copyfile(found.file("tokenizer.json"), folder / "tokenizer.json")
        if self.road == "onnx":
            graph = found.file("onnx/model.onnx").resolve()
            for data in check_onnx(found.file("onnx/model.onnx")):
                shutil.copyfile(data, folder / data.name)
            shutil.copyfile(graph, folder / "model.onnx")
        elif self.road == "bert":
            _build(found, self._weights, folder)
        else:
            export(found.folder / found.model, folder / "model.onnx", found.max_tokens)


def _opened(found: Described, path: Path) -> tuple[BertShape, Weight]:
    weights = load_weights(path)
    prefix = next((name[: -len(_WORDS)] for name in weights if name.endswith(_WORDS)), "")

    def weight(name: str) -> NDArray[np.float32]:
        if prefix + name not in weights:
            raise TrunkError("the encoder lacks a weight", where=str(path), found="nothing", wanted=name)
        return weights[prefix + name]

    config = found.config
    shape = BertShape(
        hidden=int(config["hidden_size"]),
        layers=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        epsilon=float(config.get("layer_norm_eps", 1e-12)),
        activation=str(config.get("hidden_act", "gelu")),
        pooling=found.pooling,
        normalize=found.normalize,
        dense=_dense(found),
    )
    return shape, weight


def _build(found: Described, path: Path, folder: Path) -> None:
    shape, weight = _opened(found, path)
    np.save(folder / WORDS, weight(_WORDS))
    types = weight("embeddings.token_type_embeddings.weight")
    places = weight("embeddings.position_embeddings.weight")[offset(found.config) :]
    np.save(folder / POSITIONS, places + types[0])
    build(shape, weight, "f32", folder / GRAPH)


_WORDS = "embeddings.word_embeddings.weight"


def _dense(found: Described) -> tuple[Dense, ...]:
    layers = []
    for name in found.dense:
        config = _json(found.folder / name / "config.json")
        act = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
        if act.rsplit(".", 1)[-1] not in ("Tanh", "Identity"):
            raise TrunkError("a Dense layer with an unknown activation", where=name, found=act)
        given = load_weights(found.folder / name / "model.safetensors")
        layers.append(Dense(given["linear.weight"], given.get("linear.bias"), act.endswith("Tanh")))
    return tuple(layers)


def _dim(found: Described) -> int:
    if found.dense:
        return int(_json(found.folder / found.dense[-1] / "config.json")["out_features"])
    return int(found.config.get("hidden_size") or found.config.get("dim") or 0)


def _json(path: Path) -> dict[str, Any]:
    import json

    return dict(json.loads(path.read_text(encoding="utf-8")))
