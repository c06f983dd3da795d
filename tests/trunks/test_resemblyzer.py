"""Speaker vectors: windows as Resemblyzer takes them, and the graph against torch's LSTM on the same weights."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest

from trunkline.inputs.audio import RATE, Audio
from trunkline.trunks.audio_processor import slaney_bands
from trunkline.trunks.checkpoint import read_checkpoint
from trunkline.trunks.resemblyzer import BANDS, DIM, FRAMES, LAYERS, Resemblyzer, _file, windows
from trunkline.types import Call

LACKING = Resemblyzer().available()


@pytest.mark.parametrize(
    ("seconds", "count"),
    [(0.001, 1), (0.5, 1), (1.6, 1), (1.9, 1), (2.0, 2), (3.0, 3), (10.0, 12)],
)
def test_windows_are_160_frames_every_77_and_the_last_one_is_mostly_sound(seconds: float, count: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)
    found = windows(samples)
    assert found.shape == (max(1, count), FRAMES, BANDS)
    assert np.isfinite(found).all()


def test_a_quiet_sound_is_turned_up_and_a_loud_one_is_left() -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    quiet, quieter = (np.asarray(samples / by, np.float32) for by in (100, 1_000))
    assert np.allclose(windows(quiet), windows(quieter), rtol=1e-3)
    assert np.allclose(windows(np.asarray(4 * samples, np.float32)), 16 * windows(samples), rtol=1e-3)
    assert not windows(np.zeros(100, np.float32)).any()


def test_bands_have_equal_areas_and_lie_where_slaney_puts_them() -> None:
    bands = slaney_bands(BANDS)
    assert bands.shape == (201, 40)
    assert np.allclose(bands[:, 10:].sum(axis=0) * RATE / 400, 1, atol=0.15)
    assert (np.diff(bands.argmax(axis=0)) >= 0).all()


@pytest.mark.skipif(LACKING is not None, reason=LACKING.message if LACKING else "")
def test_vectors_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    file = _file()
    if file is None:
        pytest.skip("the package is gone, its conversion is here")
    weights = {name: torch.from_numpy(value.copy()) for name, value in read_checkpoint(file).items()}
    lstm = torch.nn.LSTM(BANDS, DIM, LAYERS, batch_first=True)
    lstm.load_state_dict({name.removeprefix("lstm."): value for name, value in weights.items() if name.startswith("lstm.")})
    at = np.arange(int(2.5 * RATE)) / RATE
    samples = 0.3 * np.sin(2 * np.pi * 180 * at) * (1 + np.sin(2 * np.pi * 3 * at))
    out = io.BytesIO()
    with wave.open(out, "wb") as written:
        written.setparams((1, 2, RATE, len(at), "NONE", ""))
        written.writeframes((samples * 30_000).astype("<i2").tobytes())
    item = Audio().read(out.getvalue())
    with torch.no_grad():
        _, (hidden, _) = lstm(torch.from_numpy(windows(item.samples())))  # type: ignore[union-attr]
        each = torch.relu(hidden[-1] @ weights["linear.weight"].T + weights["linear.bias"])
        mean = torch.nn.functional.normalize(each).mean(0).numpy()
    (found,) = Resemblyzer().load().run(Call("x", [item]))
    assert found @ mean / np.linalg.norm(mean) > 0.99999
