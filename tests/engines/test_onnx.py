from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trunkline.engines.onnx_check import check_onnx
from trunkline.engines.ort import OrtSession
from trunkline.errors import BundleError

onnx = pytest.importorskip("onnx")


def _model(domain: str = "", operator: str = "Add", inner: Any = None) -> Any:
    h = onnx.helper
    real = onnx.TensorProto.FLOAT
    given = h.make_tensor_value_info("x", real, ["n", 2])
    out = h.make_tensor_value_info("y", real, ["n", 2])
    weight = onnx.numpy_helper.from_array(np.ones(2, np.float32), "w")
    nodes = [h.make_node(operator, ["x", "w"], ["y"], domain=domain)]
    if inner is not None:
        nodes.append(inner)
    graph = h.make_graph(nodes, "g", [given], [out], [weight])
    opsets = [h.make_opsetid("", 17), *([h.make_opsetid(domain, 1)] if domain else [])]
    return h.make_model(graph, opset_imports=opsets, ir_version=9)


def _save(model: Any, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def _outside(model: Any, location: str) -> Any:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return model


def test_a_safe_network_runs(tmp_path: Path) -> None:
    session = OrtSession(_save(_model(), tmp_path / "m.onnx"))
    assert session.run({"x": np.zeros((1, 2), np.float32)})[0].tolist() == [[1, 1]]


def test_a_foreign_operator(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="foreign operator"):
        check_onnx(_save(_model("evil.corp", "Run"), tmp_path / "m.onnx"))


def test_a_foreign_operator_within_a_branch(tmp_path: Path) -> None:
    h = onnx.helper
    out = h.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [2])
    branch = h.make_graph([h.make_node("Run", ["x"], ["z"], domain="evil.corp")], "b", [], [out])
    node = h.make_node("If", ["c"], ["v"], then_branch=branch, else_branch=branch)
    with pytest.raises(BundleError, match="foreign operator"):
        check_onnx(_save(_model(inner=node), tmp_path / "m.onnx"))


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret", "a/../../secret", "", "C:\\x", "link"])
def test_data_outside_the_folder(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 8)
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match="outside its folder"):
        check_onnx(_save(_outside(_model(), location), folder / "m.onnx"))


def test_data_beside_it(tmp_path: Path) -> None:
    (tmp_path / "m.data").write_bytes(np.ones(2, "<f4").tobytes())
    path = _save(_outside(_model(), "m.data"), tmp_path / "m.onnx")
    assert check_onnx(path) == (tmp_path / "m.data",)
    (tmp_path / "m.data").unlink()
    with pytest.raises(BundleError, match="missing"):
        check_onnx(path)


@pytest.mark.parametrize("junk", [b"", b"not onnx at all", b"\x08\x09", b"\xff" * 100, b"\x3a\xff\xff\xff\x7f"])
def test_junk(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(junk)
    with pytest.raises(BundleError, match="not an ONNX file"):
        check_onnx(tmp_path / "m.onnx")
