"""A network of pictures with half of its channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

import torch
from tests.training.test_cnn_products import product as product_of

from trunkline.engines.ort import OrtSession
from trunkline.errors import TrainError
from trunkline.networks.cnn import ImageCnn
from trunkline.networks.export import export
from trunkline.shrink import measure, run
from trunkline.shrink.pictures import folded, halved, prunable
from trunkline.shrink.quantise import quantised
from trunkline.types import Estimate


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TRUNKLINE_THREADS", "1")


def network(size: str) -> Any:
    """With batch norms that have seen pictures."""
    torch.manual_seed(0)
    module = ImageCnn(3, 4, size=size)
    for _ in range(3):
        module(torch.randint(0, 255, (8, 3, 16, 16)))
    return module.eval()


def pixels(n: int = 5) -> Any:
    return torch.randint(0, 255, (n, 3, 16, 16), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def exported(module: Any, path: Path) -> Any:
    export(module, path, [{"pixels": pixels()}], {"pixels": {0: "rows"}})
    return onnx.load(path)


@pytest.mark.parametrize("size", ["small", "base"])
def test_a_file_becomes_a_network_again_without_batch_norms(size: str, tmp_path: Path) -> None:
    module = network(size)
    again = folded(ImageCnn(3, 4, size=size), exported(module, tmp_path / "m.onnx")).eval()
    assert not [part for part in again.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        assert again(pixels()).numpy() == pytest.approx(module(pixels()).numpy(), abs=1e-4)


@pytest.mark.parametrize("size", ["small", "base"])
def test_half_of_the_channels_equals_the_whole_with_the_rest_masked(size: str, tmp_path: Path) -> None:
    model = exported(network(size), tmp_path / "m.onnx")
    masked = folded(ImageCnn(3, 4, size=size), model).eval()
    for one, other in prunable(masked):
        strong = one.weight.detach().flatten(1).norm(dim=1) * other.weight.detach().transpose(0, 1).flatten(1).norm(dim=1)
        weakest = strong.argsort(descending=True, stable=True)[round(0.5 * len(strong)) :]
        # as pruning goes on it no longer sees what is masked
        one.weight.data[weakest] = 0
        one.bias.data[weakest] = 0
        other.weight.data[:, weakest] = 0
    small = halved(folded(ImageCnn(3, 4, size=size), model)).eval()
    with torch.no_grad():
        found, wanted = small(pixels()).numpy(), masked(pixels()).numpy()
    assert found == pytest.approx(wanted, abs=1e-4)
    count = [sum(p.numel() for p in each.parameters()) for each in (small, masked)]
    assert count[0] < (0.3 if size == "small" else 0.55) * count[1]
    assert (tmp_path / "m.onnx").stat().st_size > 1.5 * _written(small, tmp_path / "s.onnx")
    (answer,) = OrtSession(tmp_path / "s.onnx").run({"pixels": pixels().numpy()})
    assert answer == pytest.approx(found, abs=1e-4)


def _written(module: Any, path: Path) -> int:
    exported(module, path)
    return path.stat().st_size


def test_another_network_is_refused(tmp_path: Path) -> None:
    model = exported(network("small"), tmp_path / "m.onnx")
    with pytest.raises(TrainError, match="not the one") as caught:
        folded(ImageCnn(3, 4, size="base"), model)
    assert (caught.value.found, caught.value.wanted) == ("6 convolutions", "12")
    whole = quantised(model, [{"pixels": pixels().numpy()}])
    with pytest.raises(TrainError, match="int8"):
        folded(ImageCnn(3, 4), whole)


def test_a_product_of_pictures_is_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = Estimate(2.0, 2.0, 2.0, 9)
    monkeypatch.setattr(run, "_costs", lambda job, stand: measure.Costs(two, two, two))
    product = product_of(tmp_path / "p", "image")
    product.train()
    found = product.shrink(loss=20, only=["int8", "pruned"])
    int8, pruned = found.tried
    assert (int8.why, pruned.why) == ("", "")
    assert pruned.size_bytes < 0.4 * found.size_before
    assert int8.size_bytes < 0.4 * found.size_before
    assert pruned.loss is not None
    assert np.isfinite(pruned.loss.points.value)
    assert found.bundle is not None
    assert found.bundle.manifest.method == "cnn"
    smaller = product.shrink(loss=40, only=["pruned", "int8"])
    assert (smaller.version, smaller.tried[0].why if found.chosen == "pruned" else "") == ("v2", "")
