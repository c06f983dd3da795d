"""Encoders that torch exports once: the same vectors as transformers gives, then no torch any more."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from trunkline.cli import main
from trunkline.errors import MissingExtra, TrunkError
from trunkline.trunks import find
from trunkline.trunks.onnx_encoder import OnnxEncoder
from trunkline.types import Call, Refused

torch = pytest.importorskip("torch", reason="torch is not installed (make install-train)")
transformers = pytest.importorskip("transformers")

TEXTS = ["where is my card", "我的卡还没到", "a", "卡 card " * 40]
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "pad_token_id": 0}
KINDS = {  # of different attention, positions and inputs; none has a graph built here
    "DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48},
    "MPNet": SMALL | {"pad_token_id": 1, "max_position_embeddings": 66},
    "Electra": SMALL | {"embedding_size": 32},
    "ModernBert": SMALL | {"bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3},
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and nothing of transformers' on the terminal."""
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    transformers.utils.logging.disable_progress_bar()
    return tmp_path / "cache"


def save(folder: Path, kind: str = "DistilBert") -> Any:
    """The model; its folder is laid out as sentence-transformers 6 does it."""
    vocabulary = _write_tokenizer(folder)
    settings = {"vocab_size": vocabulary, "max_position_embeddings": 64, **KINDS[kind]}
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**settings)).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.normal_(0, 0.3)
    model.save_pretrained(folder)
    base, own = "sentence_transformers.base.modules.", "sentence_transformers.sentence_transformer.modules."
    types = [base + "transformer.Transformer", own + "pooling.Pooling", base + "normalize.Normalize"]
    _write(folder / "modules.json", [{"path": f"{i}_" if i else "", "type": kind} for i, kind in enumerate(types)])
    _write(folder / "1_" / "config.json", {"pooling_mode": "mean", "include_prompt": True})
    prompts = {"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": "query"}
    _write(folder / "config_sentence_transformers.json", prompts)
    _write(folder / "tokenizer_config.json", {"model_max_length": 48})
    return model


def _write_tokenizer(folder: Path) -> int:
    """WordPiece of single signs, Chinese and Latin; its size is returned."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    letters = "abcdefghijklmnopqrstuvwxyz:"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *("##" + sign for sign in letters), *"我的卡还没到"]
    ids = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return len(pieces)


def _write(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def by_torch(folder: Path, model: Any, text: str) -> NDArray[np.float32]:
    """Prefix, 48 tokens, mean of the last states, length 1 - by transformers alone."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(48)
    ids = torch.tensor([tokenizer.encode("query: " + text).ids])
    with torch.no_grad():
        states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
    mean = states.mean(dim=0).numpy()
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_equal_those_of_torch(cache: Path, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / kind
    model = save(folder, kind)
    engine = find(f"folder:{folder}").load()
    found = engine.run(Call("x", TEXTS))
    wanted = np.stack([by_torch(folder, model, text) for text in TEXTS])
    assert ((found * wanted).sum(axis=1) > 0.9999).all()
    assert np.abs(wanted[0] - wanted[2]).max() > 0.01  # texts differ, so that equal means something
    assert engine.card.max_tokens == 48


def test_exported_once_then_without_torch(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "model")
    name = f"folder:{tmp_path / 'model'}"
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match="torch"):
        find(name).load()
    assert not list(cache.rglob("model.onnx"))
    monkeypatch.undo()
    monkeypatch.setenv("TRUNKLINE_CACHE", str(cache))
    first = find(name).load().run(Call("x", TEXTS))
    made = [path.stat().st_mtime_ns for path in cache.rglob("model.onnx")]
    monkeypatch.setitem(sys.modules, "torch", None)
    assert np.array_equal(find(name).load().run(Call("x", TEXTS)), first)
    assert [path.stat().st_mtime_ns for path in cache.rglob("model.onnx")] == made
    assert len(made) == 1


def test_pull_on_the_command_line(cache: Path, tmp_path: Path) -> None:
    save(tmp_path / "model")
    done = CliRunner().invoke(main, ["trunks", "pull", f"folder:{tmp_path / 'model'}", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["dim"] == 32
    assert list(cache.rglob("model.onnx"))


def test_a_graph_that_answers_otherwise_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "model")
    right = OnnxEncoder.tokens
    monkeypatch.setattr(OnnxEncoder, "tokens", lambda self, ids, lengths: right(self, ids, lengths)[:, ::-1])
    with pytest.raises(TrunkError, match="doesn't give what the model gives"):
        find(f"folder:{tmp_path / 'model'}").load()
    assert not list(cache.rglob("model.onnx"))


def test_pickled_weights_alone_are_refused(cache: Path, tmp_path: Path) -> None:
    model = save(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "model" / "pytorch_model.bin")
    assert isinstance(find(f"folder:{tmp_path / 'model'}").available(), Refused)
    with pytest.raises(TrunkError, match="can be loaded safely"):
        find(f"folder:{tmp_path / 'model'}").load()


def test_code_that_came_with_the_weights_is_not_run(cache: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "my_own", "auto_map": {"AutoConfig": "evil.C", "AutoModel": "evil.M"}}
    _write(folder / "config.json", config)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass C: ...\nclass M: ...\n")
    with pytest.raises(TrunkError, match="can't be exported"):
        find(f"folder:{folder}").load()
    assert not (tmp_path / "ran").exists()
