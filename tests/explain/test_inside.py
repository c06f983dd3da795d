"""What a network looks with and at, read from its own file: against what PyTorch has and computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

import torch

from trunkline.engines.inside import Inside, with_outputs
from trunkline.engines.looked import ATTENTION, MAPS, Looked
from trunkline.engines.ort import OrtSession
from trunkline.errors import TrunklineError
from trunkline.explain.inside import kind_of
from trunkline.networks.cnn import ImageCnn
from trunkline.networks.export import export
from trunkline.networks.transformer import TextTransformer

FREE = {"pixels": {0: "rows"}}


def pixels(rows: int = 3) -> Any:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (rows, 3, 20, 20)).astype(np.uint8))


def varied(module: Any) -> Any:
    """With norms as they are after learning, not as they begin."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.uniform_(part.bias, -0.5, 0.5)
            assert part.running_var is not None
            torch.nn.init.uniform_(part.running_var, 0.5, 2.0)
    return module.eval()


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    module, path = varied(ImageCnn(3, 4)), tmp_path_factory.mktemp("cnn") / "m.onnx"
    torch.nn.init.normal_(module.out.bias)
    export(module, path, [{"pixels": pixels()}], FREE)
    return module, path


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    module, path = TextTransformer(30, 3), tmp_path_factory.mktemp("text") / "m.onnx"
    export(module, path, [{"ids": torch.tensor([[5, 6, 7, 8], [9, 4, 0, 0]])}], {"ids": {0: "rows", 1: "words"}})
    return module, path


def test_the_filters_are_those_of_the_first_convolution_with_its_norm(cnn: tuple[Any, Path]) -> None:
    module, path = cnn
    found = Inside.of(path).filters()
    first, norm = module.body[0], module.body[1]
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    assert found is not None
    assert found.shape == (24, 3, 3, 3)
    np.testing.assert_allclose(found, (first.weight * scale[:, None, None, None]).detach().numpy(), atol=1e-6)


def test_a_map_is_grad_cam_and_adds_up_to_its_output(cnn: tuple[Any, Path]) -> None:
    """Grad-CAM by its definition: the gradient of an output in the last map, its mean over the places, times the map."""
    module, path = cnn
    maps = np.stack(Looked(path).run(MAPS, {"pixels": pixels().numpy()}))
    places = module.places(pixels()).detach().requires_grad_()
    given = module.out(places.mean((2, 3)))
    np.testing.assert_allclose(maps.sum((2, 3)) + module.out.bias.detach().numpy(), given.detach().numpy(), atol=1e-4)
    for output in range(4):
        (slope,) = torch.autograd.grad(given[:, output].sum(), places, retain_graph=True)
        grad_cam = (slope.mean((2, 3), keepdim=True) * places).sum(1).detach().numpy()
        np.testing.assert_allclose(maps[:, output], grad_cam, atol=1e-5)


def test_a_network_that_scales_its_mean_has_maps_that_add_up_too(tmp_path: Path) -> None:
    class Scaled(ImageCnn):
        def forward(self, given: Any) -> Any:
            return self.out(torch.nn.functional.normalize(self.places(given).mean((2, 3)), dim=1) * 8)

    module = varied(Scaled(3, 2))
    export(module, tmp_path / "m.onnx", [{"pixels": pixels()}], FREE)
    maps = np.stack(Looked(tmp_path / "m.onnx").run(MAPS, {"pixels": pixels().numpy()}))
    wanted = (module(pixels()) - module.out.bias).detach().numpy()
    np.testing.assert_allclose(maps.sum((2, 3)), wanted, atol=1e-4)


def test_a_network_that_ends_otherwise_has_no_maps(tmp_path: Path, transformer: tuple[Any, Path]) -> None:
    class Bent(ImageCnn):
        """Its mean isn't scaled but bent."""

        def forward(self, given: Any) -> Any:
            mean = self.places(given).mean((2, 3))
            return self.out(mean / (1 + mean))

    export(varied(Bent(3, 3)), tmp_path / "m.onnx", [{"pixels": pixels()}], FREE)
    assert np.stack(Looked(tmp_path / "m.onnx").run(MAPS, {"pixels": pixels().numpy()})).shape == (3, 0, 0, 0)
    assert Inside.of(transformer[1]).ending() is None
    assert Inside.of(transformer[1]).filters() is None


def test_attention_is_what_the_layers_compute(transformer: tuple[Any, Path]) -> None:
    module, path = transformer
    ids = torch.tensor([[5, 6, 7, 8, 2]])
    (found,) = Looked(path).run(ATTENTION, {"ids": ids.numpy()})
    wanted, kept = [], torch.Tensor.softmax

    def watching(scores: Any, axis: int) -> Any:
        wanted.append(kept(scores, axis))
        return wanted[-1]

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(torch.Tensor, "softmax", watching)
        module.eval()(ids)
    np.testing.assert_allclose(found, torch.stack(wanted, 1)[0].numpy(), atol=1e-5)
    assert found.shape == (2, 4, 5, 5)


def test_what_serves_gives_the_same_bits_and_knows_no_other_form(cnn: tuple[Any, Path]) -> None:
    path = cnn[1]
    (alone,) = OrtSession(path).run({"pixels": pixels().numpy()})
    ending = Inside.of(path).ending()
    assert ending is not None
    beside = OrtSession(path, [ending.places]).run({"pixels": pixels().numpy()})
    np.testing.assert_allclose(beside[0], alone, atol=1e-5)
    assert with_outputs(b"", []) == b":\x00"
    with pytest.raises(TrunklineError, match="no such form"):
        Looked(path).run("pooled", {"pixels": pixels().numpy()})


def test_kinds_of_filters() -> None:
    slope = np.broadcast_to(np.array([-1.0, 0, 1], np.float32), (3, 3, 3))
    assert kind_of(np.ones((3, 3, 3), np.float32)) == "area"
    assert kind_of(np.ascontiguousarray(slope)) == "edge"
    assert kind_of(np.ascontiguousarray(slope.transpose(0, 2, 1))) == "edge"
    spot = np.zeros((3, 3, 3), np.float32)
    spot[:, 1, 1] = 1
    assert kind_of(spot - spot.mean()) == "detail"


@given(st.binary(max_size=200))
def test_bytes_that_are_no_network_are_refused_or_empty(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("junk") / "m.onnx"
    path.write_bytes(data)
    try:
        found = Inside.of(path)
    except ValueError:
        return
    assert found.filters() is None
    assert found.ending() is None
