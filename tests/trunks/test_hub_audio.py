"""Audio encoders of transformers as trunks: tiny ones, built here, give what transformers gives with its own extractor."""

from __future__ import annotations

import base64
import io
import json
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from trunkline.desk import Desk
from trunkline.errors import SpecError, TrunkError
from trunkline.features import Features
from trunkline.inputs.audio import RATE, Audio, Sound
from trunkline.product import Product
from trunkline.serve.app import build
from trunkline.serve.live import LiveCatalog
from trunkline.trunks import find
from trunkline.trunks.audio_processor import LONGEST, AudioProcessor, heard_mean, read_audio_processor
from trunkline.trunks.hub_audio import HubAudio
from trunkline.types import Call

torch = pytest.importorskip("torch", reason="torch is not installed (make install-train)")
transformers = pytest.importorskip("transformers")
pytest.importorskip("soundfile")

LAYERS = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
WAVES = LAYERS | {"conv_dim": [8, 8, 8], "conv_kernel": [10, 3, 3], "conv_stride": [5, 4, 4], "num_feat_extract_layers": 3, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "vocab_size": 9}
WHISPER = {"d_model": 24, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "vocab_size": 60, "max_source_positions": 100, "num_mel_bins": 80, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 1}  # fmt: skip
AST = LAYERS | {"max_length": 128, "num_mel_bins": 64, "patch_size": 16, "frequency_stride": 10, "time_stride": 10}
# name: (class, config, extractor's class, its settings)
MODELS: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "wav2vec2": ("Wav2Vec2", WAVES, "Wav2Vec2", {}),
    "wav2vec2, layer norm": ("Wav2Vec2", WAVES | {"feat_extract_norm": "layer", "do_stable_layer_norm": True}, "Wav2Vec2", {"do_normalize": False}),
    "hubert": ("Hubert", WAVES, "Wav2Vec2", {}),
    "whisper": ("Whisper", WHISPER, "Whisper", {"chunk_length": 2, "feature_size": 80}),
    "ast": ("AST", AST, "AST", {"num_mel_bins": 64, "max_length": 128}),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    transformers.utils.logging.disable_progress_bar()
    return tmp_path / "cache"


def save(folder: Path, name: str) -> tuple[Any, Any]:
    """(the model, transformers' own feature extractor)."""
    kind, settings, extractor, made = MODELS[name]
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**settings)).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(torch.randn_like(weights) * 0.1)
    model.save_pretrained(folder)
    extractor = getattr(transformers, f"{extractor}FeatureExtractor")(**made)
    extractor.save_pretrained(folder)
    return model, extractor


def tone(seconds: float, hertz: float, seed: int = 0) -> bytes:
    """A WAV file of a tone with noise."""
    at = np.arange(round(seconds * RATE)) / RATE
    samples = 0.4 * np.sin(2 * np.pi * hertz * at) + 0.02 * np.random.default_rng(seed).normal(size=len(at))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, RATE, len(at), "NONE", ""))
        out.writeframes((samples * 32_000).astype("<i2").tobytes())
    return file.getvalue()


def sound(seconds: float, hertz: float, seed: int = 0) -> Sound:
    found = Audio().read(tone(seconds, hertz, seed))
    assert isinstance(found, Sound)
    return found


def by_transformers(model: Any, extractor: Any, item: Sound) -> NDArray[np.float32]:
    samples = item.samples()
    given = extractor(samples, sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        if model.config.model_type == "whisper":
            states = model.get_encoder()(given["input_features"]).last_hidden_state[0, : -(-len(samples) // 320)]
        else:
            found = model(given["input_values"])
            states = found.pooler_output if model.config.model_type.startswith("audio") else found.last_hidden_state[0]
    vector = states.mean(0).numpy()
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_vectors_are_those_of_transformers(tmp_path: Path, name: str) -> None:
    model, extractor = save(tmp_path / "m", name)
    engine = find(f"folder:{tmp_path / 'm'}").load()
    items = [sound(0.9, 300), sound(0.31, 900, 1), sound(1.2, 2_000, 2)]
    found = engine.run(Call("x", items))
    wanted = np.stack([by_transformers(model, extractor, item) for item in items])
    assert (engine.card.kind, engine.card.dim) == ("audio", 24)
    assert ((found * wanted).sum(axis=1) > 0.9999).all()
    assert np.abs(wanted[0] - wanted[1]).max() > 1e-3  # sounds differ, so that equal means something
    assert np.array_equal(engine.run(Call("x", items[1:2]))[0], found[1])
    assert np.isfinite(engine.run(Call("x", [sound(0.0002, 100)]))).all()


@pytest.mark.parametrize("name", MODELS)
def test_what_goes_in_is_what_transformers_puts_in(tmp_path: Path, name: str) -> None:
    _, extractor = save(tmp_path / "m", name)
    ours = HubAudio(f"folder:{tmp_path / 'm'}").processor
    for item in (sound(0.9, 300), sound(0.31, 5_000, 1)):
        (part,) = ours(item.samples())
        given = extractor(item.samples(), sampling_rate=RATE, return_tensors="np")
        wanted = np.asarray(next(iter(given.values())), np.float32)
        assert part.given.shape == wanted.shape
        assert np.abs(part.given - wanted).max() < 2e-3


@pytest.mark.parametrize("name", ["wav2vec2", "whisper", "ast"])
def test_a_long_sound_is_the_mean_of_its_parts(tmp_path: Path, name: str) -> None:
    save(tmp_path / "m", name)
    processor = HubAudio(f"folder:{tmp_path / 'm'}").processor
    samples = sound(2.7 * processor.longest / RATE if processor.longest < LONGEST else 61, 300).samples()
    parts = processor(samples)
    assert len(parts) == 3
    assert sum(part.samples for part in parts) == len(samples)
    assert max(part.samples for part in parts) <= processor.longest
    assert max(part.samples for part in parts) - min(part.samples for part in parts) <= 1


def test_frames_behind_a_sounds_end_do_not_count() -> None:
    processor = AudioProcessor(10, False, lambda part: np.pad(part, (0, 10 - len(part))), lambda n: n)
    parts = processor(np.arange(14, dtype=np.float32))
    assert [part.frames for part in parts] == [7, 7]
    states = [np.stack([part.given[0], 2 * part.given[0]], 1) for part in parts]
    states[0][7:] = 1e9
    assert heard_mean(states, parts).tolist() == [6.5, 13.0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"feature_extractor_type": "EncodecFeatureExtractor"}, "EncodecFeatureExtractor"),
        ({"sampling_rate": 48_000}, "48000"),
        ({"feature_extractor_type": "WhisperFeatureExtractor", "n_fft": 512}, "n_fft"),
    ],
)
def test_settings_that_are_not_known_are_refused(change: dict[str, Any], told: str) -> None:
    known = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": RATE}
    read_audio_processor(known, {}, "here")
    with pytest.raises(TrunkError, match=r"here(.|\n)*" + told):
        read_audio_processor({**known, **change}, {"num_mel_bins": 80}, "here")


def rows(folder: Path, n: int, cells: Callable[[int], dict[str, str]]) -> None:
    """rows.jsonl: beep (a path) and what `cells` gives."""
    (folder / "beeps").mkdir(parents=True)
    with (folder / "rows.jsonl").open("w") as file:
        for i in range(n):
            (folder / "beeps" / f"{i}.wav").write_bytes(tone(0.2, (300, 2_500)[i % 2], i))
            file.write(json.dumps({"beep": f"beeps/{i}.wav", **cells(i)}) + "\n")


def test_a_sound_and_a_text_together_tell_what_neither_tells_alone(tmp_path: Path) -> None:
    save(tmp_path / "m", "wav2vec2")
    folder = tmp_path / "alarms"
    rows(folder, 120, lambda i: {"words": f"{'door' if i // 2 % 2 else 'lift'} number {i}", "what": f"{'door' if i // 2 % 2 else 'lift'} {i % 2}"})
    (folder / "product.toml").write_text(
        'name = "alarms"\ntask = "classify"\nlabel = "what"\ninputs = { beep = "audio", words = "text" }\n'
        f'trunks = {{ audio = "folder:{tmp_path / "m"}", text = "hash" }}\ndata = {{ train = "rows.jsonl" }}\n[gate]\nrules = []\n'
    )
    alarms = Product(folder, Desk(Features(tmp_path / "features")))
    bundle = alarms.train()
    assert bundle.manifest.method in ("linear", "fused")
    assert bundle.report["metrics"]["accuracy"]["value"] > 0.9
    assert bundle.report["metrics"]["accuracy"]["baselines"]["ngrams"]["value"] < 0.7
    assert [card.kind for card in bundle.manifest.trunks] == ["audio", "text"]
    alarms.deploy()
    sent = {"beep": base64.b64encode(tone(0.2, 2_500, 999)).decode(), "words": "door number 999"}
    with TestClient(build(LiveCatalog(tmp_path)), "http://127.0.0.1") as client:
        answers = client.post("/v1/products/alarms/predict", json={"rows": [sent, {**sent, "beep": "bm8gc291bmQ="}]}).json()["answers"]
    assert answers[0]["label"] == "door 1"
    assert answers[1]["error"] == "unreadable"


def test_a_trunk_of_another_kind_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "beeps"
    rows(folder, 60, lambda i: {"what": str(i % 2)})
    (folder / "product.toml").write_text(
        'name = "beeps"\ntask = "classify"\nlabel = "what"\ninputs = { beep = "audio" }\ntrunks = { audio = "hash" }\ndata = { train = "rows.jsonl" }\n'
    )
    with pytest.raises(SpecError, match=r"trunks.audio(.|\n)*hash, which reads text"):
        Product(folder, Desk(Features(tmp_path / "features"))).train()
