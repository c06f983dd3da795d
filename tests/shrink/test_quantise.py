"""int8 of ONNX networks: a row's answer is its own, and close to what it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch
from tests.networks import REAL, H, linear, save

from trunkline.engines.ort import OrtSession
from trunkline.engines.own import OwnNetwork
from trunkline.errors import TrainError
from trunkline.networks.audio_cnn import AudioCnn
from trunkline.networks.cnn import ImageCnn
from trunkline.networks.cnn1d import TextCnn
from trunkline.networks.export import export
from trunkline.networks.lstm import TextRnn
from trunkline.networks.mlp import TableMlp
from trunkline.networks.transformer import TextTransformer
from trunkline.shrink.quantise import quantised
from trunkline.types import Call

RNG = np.random.default_rng(0)


def of_words(module: Any) -> tuple[Any, list[dict[str, Any]], Any]:
    rows = [{"ids": torch.from_numpy(RNG.integers(1, 400, (1, n)))} for n in (2, 3, 5, 5, 8, 8, 8, 13)]
    return module, rows, {"ids": {0: "rows", 1: "words"}}


def of_pixels() -> tuple[Any, list[dict[str, Any]], Any]:
    rows = [{"pixels": torch.from_numpy(RNG.integers(0, 255, (1, 3, 16, 16)).astype(np.uint8))} for _ in range(8)]
    return ImageCnn(3, 4), rows, {"pixels": {0: "rows"}}


def of_sounds() -> tuple[Any, list[dict[str, Any]], Any]:
    rows = [{"mels": torch.from_numpy(RNG.normal(0, 2, (1, n, 64)).astype(np.float32))} for n in (20, 20, 30, 41, 41, 41)]
    return AudioCnn(4), rows, {"mels": {0: "rows", 1: "frames"}}


def of_tables() -> tuple[Any, list[dict[str, Any]], Any]:
    rows = [
        {"numbers": torch.from_numpy(RNG.normal(size=(1, 5)).astype(np.float32)), "codes": torch.from_numpy(RNG.integers(-1, 3, (1, 2)))}
        for _ in range(8)
    ]
    return TableMlp(5, (3, 4), 3, size="base"), rows, {"numbers": {0: "rows"}, "codes": {0: "rows"}}


NETWORKS: dict[str, Callable[[], tuple[Any, list[dict[str, Any]], Any]]] = {
    "cnn": of_pixels, "sounds": of_sounds, "table": of_tables,
    "cnn1d": lambda: of_words(TextCnn(400, 4)), "lstm": lambda: of_words(TextRnn(2_000, 4)), "transformer": lambda: of_words(TextTransformer(400, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_a_row_has_the_same_bits_alone_and_in_any_batch(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, samples, free = NETWORKS[name]()
    module.eval()
    export(module, tmp_path / "m.onnx", samples, free)
    feeds = [{part: tensor.numpy() for part, tensor in sample.items()} for sample in samples]
    content = quantised(onnx.load(tmp_path / "m.onnx"), feeds).SerializeToString()
    (tmp_path / "q.onnx").write_bytes(content)
    assert len(content) < 0.62 * (tmp_path / "m.onnx").stat().st_size

    network = OwnNetwork(tmp_path / "q.onnx")
    engine = network.load()
    items = [tuple(array[0] if array.ndim > 1 else array for array in feed.values()) for feed in feeds]
    options = (("output", ""), ("tensors", tuple(feeds[0])))
    asked = Call("own:net", items, "outputs", options=options)
    engine.together = engine.rows_together(asked)
    alone = np.concatenate([engine.run(Call("own:net", [item], "outputs", options=options)) for item in items])
    assert engine.run(asked).tobytes() == alone.tobytes()
    if name in ("cnn", "cnn1d", "table"):  # all of it is int8 or done place by place
        assert engine.together > 1
    with torch.no_grad():
        exact = np.concatenate([module(*sample.values()).numpy() for sample in samples])
    assert np.corrcoef(exact.ravel(), alone.ravel())[0, 1] > 0.995


def test_the_scale_of_a_row_is_its_own(tmp_path: Path) -> None:
    """A row of large numbers beside it: per tensor, the small one would be rounded away."""
    weights = RNG.normal(size=(64, 32)).astype(np.float32)
    made = quantised(onnx.load(linear(tmp_path / "m.onnx", weights, np.zeros(32), "Identity")), [])
    (tmp_path / "q.onnx").write_bytes(made.SerializeToString())
    small = RNG.normal(size=(1, 64)).astype(np.float32)
    session = OrtSession(tmp_path / "q.onnx")
    alone = session.run({"x": small})[0]
    beside = session.run({"x": np.concatenate([small, 1e4 * small])})[0]
    assert beside[0].tobytes() == alone[0].tobytes()
    assert alone == pytest.approx(small @ weights, abs=0.02 * float(np.abs(small @ weights).max()))
    assert not session.run({"x": np.zeros((1, 64), np.float32)})[0].any(), "a row of zeros has no largest"


def test_an_operator_that_onnx_does_not_define_is_named(tmp_path: Path) -> None:
    node = H.make_node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft")
    path = save(tmp_path / "m.onnx", [node], [("x", REAL, ["n", 64])], [("y", REAL, ["n", 32])], {"w": np.zeros((64, 32), np.float32)})
    model = onnx.load(path)
    model.opset_import.append(H.make_opsetid("com.microsoft", 1))
    with pytest.raises(TrainError, match="can't be converted") as caught:
        quantised(model, [])
    assert caught.value.found == "com.microsoft:FusedMatMul"


def test_where_nothing_gains_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="nothing in this network gains") as caught:
        quantised(onnx.load(linear(tmp_path / "m.onnx", np.ones((3, 2)), [0, 0])), [])
    assert "Softmax" in caught.value.found
