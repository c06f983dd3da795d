"""Log-mel frames by their formula: the scale, the bands, energy, and where a tone is found."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.inputs.audio import RATE
from trunkline.inputs.mels import HOP, MELS, POINTS, WINDOW, bands, log_mels, mel, spectrum, window


def sine(pitch: float, seconds: float = 1.0) -> NDArray[np.float32]:
    return np.asarray(np.sin(2 * np.pi * pitch * np.arange(int(seconds * RATE)) / RATE), np.float32)


@pytest.mark.parametrize(("hertz", "wanted"), [(0, 0), (700, 781.170), (1_000, 999.986), (125, 185.165), (7_500, 2_773.332)])
def test_the_mel_scale(hertz: float, wanted: float) -> None:
    """By hand: 1127 ln 2 = 781.17; a thousand hertz are a thousand mels."""
    assert float(mel(hertz)) == pytest.approx(wanted, abs=0.01)


def test_each_band_is_a_triangle_and_between_two_middles_they_add_up_to_one() -> None:
    found = bands()
    assert found.shape == (POINTS // 2 + 1, MELS)
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert found.max(0).min() > 0  # no band is empty
    hertz = np.arange(POINTS // 2 + 1) * RATE / POINTS
    edges = np.linspace(mel(125), mel(7_500), MELS + 2)
    inside = (mel(hertz) >= edges[1]) & (mel(hertz) <= edges[-2])
    np.testing.assert_allclose(found[inside].sum(1), 1, atol=1e-12)  # falling and rising sides: 1 - x and x
    assert not found[(hertz < 125) | (hertz > 7_500)].any()


def test_the_spectrum_keeps_the_energy() -> None:
    """Parseval: sum of squares of the frame = mean of squares over all POINTS frequencies, those above the middle twice."""
    frames = np.random.default_rng(0).normal(size=(3, WINDOW))
    twice = np.full(POINTS // 2 + 1, 2.0)
    twice[[0, -1]] = 1
    np.testing.assert_allclose((spectrum(frames) ** 2) @ twice / POINTS, ((frames * window()) ** 2).sum(1))


def test_the_spectrum_is_its_formula() -> None:
    frame = np.random.default_rng(1).normal(size=WINDOW)
    n = np.arange(WINDOW)
    hann = np.sin(np.pi * n / WINDOW) ** 2
    for k in (0, 1, 77, 256):
        assert spectrum(frame[None])[0, k] == pytest.approx(abs((frame * hann * np.exp(-2j * np.pi * k * n / POINTS)).sum()))


def test_a_tone_is_loudest_in_the_band_around_it() -> None:
    middles = np.linspace(mel(125), mel(7_500), MELS + 2)[1:-1]
    for pitch in (500, 1_000, 3_000, 6_000):
        found = log_mels(sine(pitch), 10)
        assert abs(middles[found.mean(0).argmax()] - mel(pitch)) <= middles[1] - middles[0]


def test_a_full_tone_has_the_height_that_its_window_gives() -> None:
    """A sine on a frequency of the grid: |S| = sum of the window / 2 = 100 there."""
    frame = sine(1_000)[:WINDOW].astype(np.float64)
    assert spectrum(frame[None])[0, 1_000 * POINTS // RATE] == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (399, 1), (400, 1), (559, 1), (560, 2), (16_000, 98)])
def test_frames_are_counted(samples: int, frames: int) -> None:
    found = log_mels(np.zeros(samples, np.float32), 10)
    assert found.shape == (frames, MELS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.log(0.01), rtol=1e-6)  # silence


def test_only_the_first_seconds_count_and_long_sounds_are_computed_in_parts() -> None:
    sound = np.random.default_rng(2).normal(size=RATE * 60).astype(np.float32)
    whole = log_mels(sound, 60)
    assert len(whole) == 1 + (60 * RATE - WINDOW) // HOP
    np.testing.assert_allclose(whole[:98], log_mels(sound, 1), rtol=1e-5)
    np.testing.assert_allclose(whole[5_000], log_mels(sound[5_000 * HOP :], WINDOW / RATE)[0], rtol=1e-5)
