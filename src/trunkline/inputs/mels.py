"""Log-mel frames of a sound, as VGGish takes them: Hershey et al. 2017, "CNN Architectures for Large-Scale Audio
Classification", with the figures of its published code (tensorflow/models, audioset/vggish, vggish_params.py).

    frames     x_t = samples [160 t, 160 t + 400) times a periodic Hann window: 25 ms every 10 ms at 16,000 a second
    spectrum   S_t[k] = |sum over n of x_t[n] exp(-2 pi i k n / 512)|, k = 0..256: every 31.25 Hz
    scale      mel(f) = 1127 ln(1 + f / 700)  (O'Shaughnessy 1987; HTK)
    bands      64 triangles, equally wide in mel from 125 to 7,500 Hz, each from its left neighbour's middle to its
               right one's, highest 1
    result     ln(S_t . bands + 0.01)
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from trunkline.inputs.audio import RATE, Samples

WINDOW, HOP, POINTS = 400, 160, 512  # samples
MELS, LOWEST, HIGHEST = 64, 125.0, 7_500.0  # bands, Hz, Hz
OFFSET = 0.01
_FRAMES = 4_096  # that are computed together, so that a long sound takes little memory


def log_mels(samples: Samples, seconds: float) -> NDArray[np.float32]:
    """float32 (frames, MELS) of the first `seconds`; at least one frame, for which silence is put behind."""
    heard = np.asarray(samples[: max(WINDOW, int(seconds * RATE))], np.float64)
    heard = np.pad(heard, (0, max(0, WINDOW - len(heard))))
    frames = np.lib.stride_tricks.sliding_window_view(heard, WINDOW)[::HOP]
    parts = [_of_frames(frames[at : at + _FRAMES]) for at in range(0, len(frames), _FRAMES)]
    return np.concatenate(parts)


def _of_frames(frames: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(np.log(spectrum(frames) @ bands() + OFFSET), np.float32)


def spectrum(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Magnitudes (frames, POINTS / 2 + 1) of (frames, WINDOW) samples."""
    return np.asarray(np.abs(np.fft.rfft(frames * window(), POINTS)), np.float64)


def mel(hertz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(1127.0 * np.log1p(np.asarray(hertz) / 700.0))


@cache
def window() -> NDArray[np.float64]:
    """(WINDOW,): 0.5 - 0.5 cos(2 pi n / WINDOW)."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW))


@cache
def bands() -> NDArray[np.float64]:
    """(POINTS / 2 + 1, MELS): how much of each frequency goes into each band; nothing of frequency 0."""
    at = mel(np.arange(POINTS // 2 + 1) * RATE / POINTS)[:, None]
    edges = np.linspace(mel(LOWEST), mel(HIGHEST), MELS + 2)
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    found = np.maximum(0.0, np.minimum((at - left) / (middle - left), (right - at) / (right - middle)))
    found[0] = 0
    return found
