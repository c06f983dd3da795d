"""How a Hugging Face audio encoder wants its sounds: its `preprocessor_config.json`, read here and done by numpy.

A sound longer than the model reads goes through in parts; what comes out is the mean over all that was heard.

    Wav2Vec2  the samples, less their mean, over their deviation            (n,)
    Whisper   log10 of 400-point power spectra every 160 samples, in Slaney's mel bands, (x + 4) / 4, at most 8 below the
              highest                                                       (bands, frames), silence behind
    AST       ln of 512-point power spectra as Kaldi takes them: mean taken out, pre-emphasis 0.97, symmetric Hann window;
              (x - mean) / 2 deviations                                     (frames, bands), zeros behind
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import TrunkError
from trunkline.inputs.audio import RATE, Samples
from trunkline.inputs.mels import HOP, WINDOW, mel

LONGEST = 30 * RATE  # samples that go through a model for samples at once: attention's cost grows with their square
KALDI_POINTS, KALDI_LOWEST, KALDI_FLOOR = 512, 20.0, 1.192092955078125e-07  # Hz; the least power
EMPHASIS = 0.97


class SoundPart(NamedTuple):
    """given: float32, the model's input for some of the sound. frames: how many of the states that come out stand for it,
    0 = all. samples: its share of the mean."""

    given: NDArray[np.float32]
    frames: int
    samples: int


@dataclass(frozen=True)
class AudioProcessor:
    """longest: samples of one part. long: the model takes parts of any length."""

    longest: int
    long: bool
    prepared: Callable[[Samples], NDArray[np.float32]]
    frames: Callable[[int], int]  # of so many samples
    whole: Callable[[Samples], Samples] = lambda samples: samples

    def __call__(self, samples: Samples) -> list[SoundPart]:
        """Parts of like length, in order."""
        count = max(1, -(-len(samples) // self.longest))
        parts = np.array_split(self.whole(samples), count)
        return [SoundPart(self.prepared(part)[None], self.frames(len(part)), len(part)) for part in parts]


def read_audio_processor(given: Mapping[str, Any], config: Mapping[str, Any], where: str) -> AudioProcessor:
    """Of a preprocessor_config.json and its model's config.json. Raises TrunkError for what is not known here."""
    named = str(given.get("feature_extractor_type"))
    rate = given.get("sampling_rate", RATE)
    if rate != RATE:
        raise _unknown(where, "sampling_rate", rate, str(RATE))
    if named == "Wav2Vec2FeatureExtractor":
        return _samples(bool(given.get("do_normalize", True)), config)
    if named == "WhisperFeatureExtractor":
        if (given.get("hop_length", HOP), given.get("n_fft", WINDOW)) != (HOP, WINDOW):
            raise _unknown(where, "hop_length, n_fft", f"{given.get('hop_length')}, {given.get('n_fft')}", f"{HOP}, {WINDOW}")
        return _whisper(int(config["num_mel_bins"]), int(config.get("max_source_positions", 1_500)))
    if named == "ASTFeatureExtractor":
        level = (float(given["mean"]), float(given["std"])) if given.get("do_normalize", True) else (0.0, 0.5)
        return _ast(int(config["num_mel_bins"]), int(config.get("max_length", 1_024)), level)
    known = "Wav2Vec2FeatureExtractor, WhisperFeatureExtractor, ASTFeatureExtractor"
    raise _unknown(where, "feature_extractor_type", named, known)


def _samples(normal: bool, config: Mapping[str, Any]) -> AudioProcessor:
    kernels, strides = config.get("conv_kernel", (10, 3, 3, 3, 3, 2, 2)), config.get("conv_stride", (5, 2, 2, 2, 2, 2, 2))
    least = 1  # samples that give one state
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        least = (least - 1) * stride + kernel

    def whole(samples: Samples) -> Samples:
        wide = samples.astype(np.float64)
        even = (wide - wide.mean()) / np.sqrt(wide.var() + 1e-7) if normal else wide
        return np.asarray(even, np.float32)

    def prepared(part: Samples) -> NDArray[np.float32]:
        return np.pad(part, (0, max(0, least - len(part))))

    return AudioProcessor(LONGEST, True, prepared, lambda _: 0, whole)


def _whisper(bands: int, states: int) -> AudioProcessor:
    longest = states * 2 * HOP

    def prepared(part: Samples) -> NDArray[np.float32]:
        heard = np.pad(np.asarray(part, np.float64), (0, longest - len(part)))
        frames = np.lib.stride_tricks.sliding_window_view(np.pad(heard, WINDOW // 2, mode="reflect"), WINDOW)[::HOP][:-1]
        power = np.abs(np.fft.rfft(frames * _hann(True), WINDOW)) ** 2
        found = np.log10(np.maximum(power @ slaney_bands(bands), 1e-10)).T
        return np.asarray((np.maximum(found, found.max() - 8) + 4) / 4, np.float32)

    return AudioProcessor(longest, False, prepared, lambda samples: max(1, -(-samples // (2 * HOP))))


def _ast(bands: int, most: int, level: tuple[float, float]) -> AudioProcessor:
    def prepared(part: Samples) -> NDArray[np.float32]:
        heard = np.pad(np.asarray(part, np.float64), (0, max(0, WINDOW - len(part))))
        frames = np.lib.stride_tricks.sliding_window_view(heard, WINDOW)[::HOP]
        even = frames - frames.mean(axis=1, keepdims=True)
        before = np.concatenate([even[:, :1], even[:, :-1]], axis=1)
        power = np.abs(np.fft.rfft((even - EMPHASIS * before) * _hann(False), KALDI_POINTS)) ** 2
        found = np.log(np.maximum(power @ kaldi_bands(bands), KALDI_FLOOR))
        filled = np.pad(found, ((0, most - len(found)), (0, 0)))
        return np.asarray((filled - level[0]) / (2 * level[1]), np.float32)

    return AudioProcessor((most - 1) * HOP + WINDOW, False, prepared, lambda _: 0)


@cache
def _hann(periodic: bool) -> NDArray[np.float64]:
    return np.hanning(WINDOW + 1)[:-1] if periodic else np.hanning(WINDOW)


@cache
def slaney_bands(bands: int) -> NDArray[np.float64]:
    """(WINDOW / 2 + 1, bands): triangles from 0 to 8,000 Hz of equal area, equally wide on Slaney's scale (1998), which is
    linear to 1,000 Hz and logarithmic above."""
    steps = np.linspace(0, 15 + 27 * np.log(8) / np.log(6.4), bands + 2)
    edges = np.where(steps < 15, 200 * steps / 3, 1_000 * np.exp((steps - 15) * np.log(6.4) / 27))
    triangles = _triangles(np.arange(WINDOW // 2 + 1) * RATE / WINDOW, edges)
    return np.asarray(triangles * 2 / (edges[2:] - edges[:-2]))


@cache
def kaldi_bands(bands: int) -> NDArray[np.float64]:
    """(KALDI_POINTS / 2 + 1, bands): triangles in mel, from 20 to 8,000 Hz."""
    places = mel(np.arange(KALDI_POINTS // 2 + 1) * RATE / KALDI_POINTS)
    return _triangles(places, np.linspace(mel(KALDI_LOWEST), mel(RATE / 2), bands + 2))


def _triangles(places: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    at = places[:, None]
    return np.maximum(0.0, np.minimum((at - left) / (middle - left), (right - at) / (right - middle)))


def heard_mean(states: Sequence[NDArray[np.float32]], parts: Sequence[SoundPart]) -> NDArray[np.float32]:
    """(dim,): each part's mean over its frames, by its share of the sound. states (frames, dim) each."""
    means = [given[: part.frames or None].mean(axis=0, dtype=np.float64) for given, part in zip(states, parts, strict=True)]
    return np.asarray(np.average(means, axis=0, weights=[part.samples for part in parts]), np.float32)


def _unknown(where: str, name: str, found: Any, wanted: str) -> TrunkError:
    return TrunkError(f"this model's sounds are made ready in a way that is not known here ({name})", where=where, found=str(found), wanted=wanted)
