"""Vision models of transformers as trunks: tiny ones, built here, give what transformers gives with its own processor."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image as Pillow

from trunkline.cli import main
from trunkline.errors import MissingExtra, TrunkError
from trunkline.inputs.image import Image, Picture
from trunkline.trunks import find
from trunkline.trunks.hub import kind_of
from trunkline.trunks.hub_image import HubImage
from trunkline.trunks.image_processor import read_image_processor
from trunkline.types import Call, Refused

torch = pytest.importorskip("torch", reason="torch is not installed (make install-train)")
transformers = pytest.importorskip("transformers")

VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "image_size": 32, "patch_size": 8}
CONV = {"hidden_sizes": [8, 16], "depths": [1, 1]}
STAGES = {"in_channels": [32, 8], "out_channels": [8, 16], "kernel_sizes": [3, 3], "strides": [1, 2], "num_block_repeats": [1, 1], "expand_ratios": [1, 2], "width_coefficient": 1.0, "depth_coefficient": 1.0, "hidden_dim": 1280}  # fmt: skip
CLIP_TEXT = {"vocab_size": 99, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
SIZED = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.25]}
SQUARE, SHORT = {"size": {"height": 32, "width": 32}}, {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}
# name: (class, config, its processor's family, the processor's settings)
MODELS: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "vit": ("ViT", VIT, "ViT", SQUARE | {"resample": 2}),
    "dinov2": ("Dinov2", VIT, "Bit", SHORT),
    "convnext": ("ConvNext", CONV | {"num_stages": 2}, "ConvNext", {"size": {"shortest_edge": 32}, "crop_pct": 0.8}),
    "resnet": ("ResNet", CONV | {"embedding_size": 8, "layer_type": "basic"}, "ConvNext", {"size": {"shortest_edge": 32}, "resample": 3}),
    "efficientnet": ("EfficientNet", STAGES, "EfficientNet", SQUARE),
    "swin": ("Swin", {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4}, "ViT", SQUARE),
    "clip": ("CLIP", {"vision_config": VIT, "text_config": CLIP_TEXT, "projection_dim": 24}, "CLIP", SHORT),
    "clip vision": ("CLIPVision", VIT, "CLIP", SHORT),
    "siglip": ("Siglip", {"vision_config": VIT, "text_config": CLIP_TEXT}, "Siglip", SQUARE | {"resample": 3}),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    transformers.utils.logging.disable_progress_bar()
    return tmp_path / "cache"


def save(folder: Path, name: str) -> tuple[Any, Any]:
    """(the model, transformers' own processor without torchvision)."""
    kind, settings, family, made = MODELS[name]
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**settings)).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(torch.randn_like(weights) * 0.1)
        for layer in model.modules():  # through a deep network of small weights no picture would come
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight)
            elif isinstance(layer, torch.nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
    model.save_pretrained(folder)
    processor = getattr(transformers, f"{family}ImageProcessorPil")(**SIZED, **made)
    processor.save_pretrained(folder)
    return model, processor


def picture(width: int = 60, height: int = 45, seed: int = 0) -> Picture:
    """Smooth, so that a resized picture still differs from another."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(small).resize((width, height), Pillow.Resampling.BICUBIC).save(file, "PNG")
    found = Image().read(file.getvalue())
    assert isinstance(found, Picture)
    return found


def by_transformers(model: Any, processor: Any, item: Picture) -> NDArray[np.float32]:
    pixels = torch.from_numpy(np.asarray(processor(item.rgb(), return_tensors="np")["pixel_values"], np.float32))
    with torch.no_grad():
        given = model.get_image_features(pixel_values=pixels) if hasattr(model, "get_image_features") else model(pixel_values=pixels)
    vector = getattr(given, "pooler_output", given).flatten().numpy()
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_vectors_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    model, processor = save(tmp_path / "m", name)
    engine = find(f"folder:{tmp_path / 'm'}").load()
    items = [picture(), picture(31, 80, 1), picture(32, 32, 2)]
    found = engine.run(Call("x", items))
    wanted = np.stack([by_transformers(model, processor, item) for item in items])
    assert engine.card.kind == "image"
    assert ((found * wanted).sum(axis=1) > 0.9999).all()
    assert np.abs(found - wanted).max() < 2e-3
    assert np.abs(wanted[0] - wanted[1]).max() > 1e-3  # pictures differ, so that equal means something
    assert np.array_equal(engine.run(Call("x", items[1:2]))[0], found[1])


@pytest.mark.parametrize("name", MODELS)
def test_pixels_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    _, processor = save(tmp_path / "m", name)
    ours = HubImage(f"folder:{tmp_path / 'm'}").processor
    for item in (picture(), picture(31, 80, 1), picture(500, 33, 3), picture(8, 8, 4)):
        wanted = np.asarray(processor(item.rgb(), return_tensors="np")["pixel_values"], np.float32)
        found = ours(item)
        assert found.shape == wanted.shape == (1, 3, *ours.size)
        assert np.abs(found - wanted).max() < 1e-4


def test_a_pooler_that_the_folder_lacks_is_not_made_up(tmp_path: Path) -> None:
    """As of a classifier's checkpoint: its class token's state is taken."""
    save(tmp_path / "m", "vit")
    model = transformers.ViTForImageClassification.from_pretrained(tmp_path / "m").eval()
    model.save_pretrained(tmp_path / "m")
    item = picture()
    trunk = HubImage(f"folder:{tmp_path / 'm'}")
    with torch.no_grad():
        wanted = model.vit(pixel_values=torch.from_numpy(trunk.processor(item))).last_hidden_state[0, 0].numpy()
    (found,) = trunk.load().run(Call("x", [item]))
    assert found @ wanted / np.linalg.norm(wanted) > 0.9999


def test_other_weights_that_are_missing_are_told(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    save(tmp_path / "m", "vit")
    file = tmp_path / "m" / "model.safetensors"
    weights = load_file(file)
    gone = next(name for name in sorted(weights) if "layer" in name and name.endswith("weight"))
    save_file({name: value for name, value in weights.items() if name != gone}, file, {"format": "pt"})
    with pytest.raises(TrunkError, match="lacks weights") as caught:
        find(f"folder:{tmp_path / 'm'}").load()
    assert "1 are missing" in str(caught.value)


def test_pulled_once_by_the_command_then_without_torch(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "m", "convnext")
    name = f"folder:{tmp_path / 'm'}"
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "torch", None)
        with pytest.raises(MissingExtra, match="torch"):
            find(name).load()
    assert not list(cache.rglob("model.onnx"))
    done = CliRunner().invoke(main, ["trunks", "pull", name, "--json"])
    assert done.exit_code == 0, done.output
    assert (json.loads(done.stdout)["kind"], json.loads(done.stdout)["dim"]) == ("image", 16)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert find(name).load().run(Call("x", [picture()])).shape == (1, 16)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"image_processor_type": "LevitImageProcessor"}, "LevitImageProcessor"),
        ({"image_processor_type": None}, "nothing"),
        ({"size": {"longest_edge": 9}}, "longest_edge"),
        ({"size": {"shortest_edge": 9}, "do_center_crop": False}, "equally large"),
        ({"image_mean": [0.5]}, "one a colour"),
        ({"image_std": [0.5, 0, 1]}, "not 0"),
        ({"do_pad": True}, "do_pad"),
        ({"resample": 9}, "resample"),
    ],
)
def test_settings_that_are_not_known_are_refused(change: dict[str, Any], told: str) -> None:
    known = {"image_processor_type": "CLIPImageProcessor", "size": 40, "crop_size": 32, **SIZED}
    assert read_image_processor(known, "here").size == (32, 32)
    with pytest.raises(TrunkError, match=r"here(.|\n)*" + told):
        read_image_processor({**known, **change}, "here")


def test_older_processors_with_one_number_as_size() -> None:
    old = {"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "resample": 2, **SIZED}
    made = read_image_processor(old, "here")
    assert (made.resize, made.crop) == ((224, 224), None)
    old["feature_extractor_type"] = "ConvNextFeatureExtractor"
    made = read_image_processor(old, "here")
    assert (made.resize, made.crop) == (256, (224, 224))


def test_timm_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18", "num_features": 512, "pretrained_cfg": {}}))
    (tmp_path / "preprocessor_config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    lacking = find(f"folder:{tmp_path}").available()
    assert isinstance(lacking, Refused)
    assert "timm" in lacking.message


def test_kinds_by_config() -> None:
    for kind, settings, _, _ in MODELS.values():
        assert kind_of(getattr(transformers, f"{kind}Config")(**settings).to_diff_dict()) == "image"
    for kind in ("Wav2Vec2", "Hubert", "Whisper", "AST"):
        assert kind_of(getattr(transformers, f"{kind}Config")().to_diff_dict()) == "audio"
    for kind in ("Bert", "XLMRoberta", "ModernBert", "DistilBert"):
        assert kind_of(getattr(transformers, f"{kind}Config")().to_diff_dict()) == "text"
