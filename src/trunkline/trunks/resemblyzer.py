"""Resemblyzer's voice encoder: vectors that tell speakers apart, an OpenVINO graph built here without torch.

Wan et al. 2018 ("Generalized End-to-End Loss for Speaker Verification"), as Resemblyzer 0.1.4 (Apache-2.0) does it:

    loudness   turned up to -30 dBFS, never down
    frames     400-point power spectra every 160 samples, in 40 of Slaney's mel bands; no logarithm
    windows    160 frames every 77, the last one only if three quarters of it are sound
    window     three LSTM layers of 256, the last state through a linear layer and ReLU, length 1
    voice      the mean of all windows, length 1

Its voice activity detection, which needs a package of C, is left out: cut long silences off where they matter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.openvino import OpenVinoSession
from trunkline.engines.single import SingleEngine
from trunkline.inputs.audio import Samples, Sound
from trunkline.inputs.mels import HOP, WINDOW
from trunkline.trunks.audio_processor import slaney_bands
from trunkline.trunks.cache import fingerprint, is_prepared, package_file, prepared, verified
from trunkline.trunks.checkpoint import read_checkpoint
from trunkline.types import EngineCard, Refused

PACKAGE = "Resemblyzer==0.1.4"
WEIGHTS_SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
GRAPH = "graph.xml"
BANDS, DIM, LAYERS = 40, 256, 3
FRAMES, STEP = 160, 77  # of a window, between two: 1.3 a second
COVERED = 0.75  # of the last window
LOUDNESS = -30.0  # dBFS
GATES = (1, 0, 2, 3)  # torch has input, forget, cell, output; OpenVINO forget first
RECIPE = 1


class Resemblyzer:
    """A `Trunk` for sounds; vectors of length 1."""

    def __init__(self) -> None:
        decides = {"weights": WEIGHTS_SHA256, "graph": f"ge2e/{RECIPE}", "windows": [FRAMES, STEP, COVERED, LOUDNESS], "precision": "f32", "runtime": "openvino"}
        self.card = EngineCard(
            id="resemblyzer", fingerprint=fingerprint(decides), kind="audio", forms=("pooled",), dim=DIM, licence="Apache-2.0",
            source=f"Resemblyzer's voice encoder, from the package {PACKAGE}", precision="f32", runtime="openvino",
        )  # fmt: skip

    def available(self) -> Refused | None:
        if is_prepared(self.card.id, self.card.fingerprint) or _file():
            return None
        return Refused("missing", f"the package {PACKAGE} is not installed")

    def prepare(self) -> Path:
        """The converted weights; made on the first call of this machine. Raises TrunkError."""
        return prepared(self.card.id, self.card.fingerprint, _convert)

    def load(self) -> SingleEngine:
        session = OpenVinoSession(self.prepare() / GRAPH, "f32")

        def pooled(item: Sound) -> NDArray[np.float32]:
            each = np.array([session.run([window[None]])[0][0] for window in windows(item.samples())], np.float64)
            mean = each.mean(axis=0)
            return np.asarray(mean / max(float(np.sqrt(mean @ mean)), 1e-12), np.float32)

        return SingleEngine(self.card, pooled)


def windows(samples: Samples) -> NDArray[np.float32]:
    """(n, FRAMES, BANDS), n at least 1."""
    loud = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))
    gain = max(1.0, 10 ** (LOUDNESS / 20) / loud) if loud else 1.0
    count = -(-(len(samples) + 1) // HOP)
    starts = list(range(0, max(1, count - FRAMES + STEP + 1), STEP))
    if len(starts) > 1 and len(samples) - starts[-1] * HOP < COVERED * FRAMES * HOP:
        starts.pop()
    whole = max(len(samples), (starts[-1] + FRAMES) * HOP)
    heard = np.pad(samples.astype(np.float64) * gain, (WINDOW // 2, whole - len(samples) + WINDOW // 2))
    frames = np.lib.stride_tricks.sliding_window_view(heard, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW + 1)[:-1], WINDOW)) ** 2
    mels = np.asarray(power @ slaney_bands(BANDS), np.float32)
    return np.stack([mels[at : at + FRAMES] for at in starts])


def _file() -> Path | None:
    return package_file("resemblyzer", "pretrained.pt")


def _convert(folder: Path) -> None:
    import openvino

    weights = read_checkpoint(verified(_file(), WEIGHTS_SHA256, PACKAGE))
    openvino.save_model(_model(weights), folder / GRAPH, compress_to_fp16=False)


def _model(weights: dict[str, NDArray[np.float32]]) -> Any:
    import openvino as ov
    from openvino import opset13 as op

    given = op.parameter(ov.PartialShape([1, FRAMES, BANDS]), ov.Type.f32, "frames")
    nothing, length = op.constant(np.zeros((1, 1, DIM), np.float32)), op.constant(np.array([FRAMES], np.int64))
    states: Any = given
    for layer in range(LAYERS):
        rows, own = (_gates(weights[f"lstm.weight_{part}_l{layer}"]) for part in ("ih", "hh"))
        bias = _gates(weights[f"lstm.bias_ih_l{layer}"] + weights[f"lstm.bias_hh_l{layer}"])
        parts = [op.constant(part[None]) for part in (rows, own, bias)]
        cells = op.lstm_sequence(states, nothing, nothing, length, *parts, DIM, "FORWARD")
        states = op.squeeze(cells.output(0), op.constant(np.array([1], np.int64)))
    last = op.squeeze(cells.output(1), op.constant(np.array([1], np.int64)))
    out = op.matmul(last, op.constant(weights["linear.weight"]), False, True)
    out = op.relu(op.add(out, op.constant(weights["linear.bias"][None])))
    return ov.Model([op.normalize_l2(out, op.constant(np.array([1], np.int64)), 1e-24, "add")], [given], "resemblyzer")


def _gates(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """(4 * DIM, ...) in OpenVINO's order."""
    return np.ascontiguousarray(weight.reshape(4, DIM, *weight.shape[1:])[list(GATES)].reshape(weight.shape))
