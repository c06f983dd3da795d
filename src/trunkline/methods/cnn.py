"""The method `cnn`: a convolutional network from scratch for pictures (pixels) or sounds (log-mel frames)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from trunkline.errors import SpecError
from trunkline.heads.onnx import Tensor
from trunkline.inputs.audio import Sound
from trunkline.inputs.image import Picture
from trunkline.inputs.mels import log_mels
from trunkline.methods.learning import Index, Material
from trunkline.methods.network import RANGES, NetSettings, Network, read_net_settings
from trunkline.spec import Range, Ranges, Spec
from trunkline.training import parallel
from trunkline.training.settings import Above, Count, Share
from trunkline.types import Ask, Examples

KINDS = ("image", "audio")


class PictureSettings(NetSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """side: pixels of the square that a picture is pressed into.

    augment: light = turned, shifted and scaled a little; strong = also RandAugment's changes. flip: half of them left to
    right, for what has no left and right (no digits, no text).
    """

    side: Annotated[int, Meta(ge=8, le=512)] = 64
    augment: Literal["none", "light", "strong"] = "light"
    flip: bool = False


class CnnSettings(PictureSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """seconds: of a sound's start that are heard. start: a folder that `trunkline pretrain` wrote, for pictures.

    augment: sounds: light = slower or faster, higher or lower, with noise; strong = also SpecAugment's changes.
    """

    epochs: Count = 20
    rate: Above = 3e-3
    average: Share = 0.99
    patience: Annotated[int, Meta(ge=0)] = 8  # pictures: at this rate the validation loss first rises for about seven epochs
    seconds: Annotated[float, Meta(gt=0, le=300)] = 10.0
    start: str = ""


class Cnn(Network):
    name: ClassVar[str] = "cnn"
    settings: ClassVar[type[NetSettings]] = CnnSettings
    ranges: ClassVar[Ranges] = {**RANGES, "rate": Range(1e-3, 1e-2, log=True), "augment": ["none", "light", "strong"]}

    def check(self, spec: Spec) -> None:
        super().check(spec)
        settings = read_net_settings(spec, self.settings)
        if settings.start and "image" not in spec.inputs.values():
            raise SpecError("only pictures have a start", where="method.settings.start", found=settings.start)
        _origin(settings)

    def reads(self, spec: Spec) -> str:
        kinds = list(spec.inputs.values())
        if len(kinds) == 1 and kinds[0] in KINDS:
            return ""
        return f"{self.name} reads one column of kind {' or '.join(KINDS)}, not {', '.join(kinds)}"

    def material(self, spec: Spec, examples: Examples, ask: Ask, settings: CnnSettings) -> Material:
        """Rows decoded in memory, of several processes each its own: 12 kB a picture of 64 pixels a side, 26 kB a second of sound."""
        ((column, kind),) = spec.inputs.items()
        values = [row[column] for row in examples.inputs]
        if kind == "image":
            return _picture_cnn(column, values, settings)
        return _sounds(column, values, settings)


def _picture_cnn(column: str, values: Sequence[Picture], settings: CnnSettings) -> Material:
    from trunkline.pretraining.pictures import begin

    folder, origin = Path(settings.start), _origin(settings)

    def build(outputs: int) -> Any:
        from trunkline.networks.cnn import ImageCnn

        cnn = ImageCnn(3, outputs, **settings.told())
        if origin:
            begin(cnn, folder)
        return cnn

    return replace(pictures(column, values, settings, build), origin=origin)


def _origin(settings: CnnSettings) -> str:
    """Digest of the body that the network starts from, "" from scratch. Raises SpecError where its folder is away."""
    from trunkline.pretraining.pictures import read_start

    return read_start(Path(settings.start), settings.size, settings.activation or "relu").sha256 if settings.start else ""


def pictures(column: str, values: Sequence[Picture], settings: PictureSettings, build: Callable[[int], Any]) -> Material:
    """Pictures decoded when they are first asked for, then in memory, 3 * side * side bytes each."""
    pixels = np.empty((len(values), 3, settings.side, settings.side), np.uint8)  # takes memory where it is written to
    decoded = np.zeros(len(values), bool)

    def block_of(rows: Index) -> NDArray[np.uint8]:
        for at in rows[~decoded[rows]].tolist():
            pixels[at], decoded[at] = values[at].pixels(settings.side), True
        return pixels[rows]

    def inputs(rows: Index, rng: np.random.Generator | None) -> dict[str, Any]:
        import torch

        from trunkline.training.augment import flipped, moved, varied

        block = torch.from_numpy(block_of(rows))
        if rng is None:
            return {"pixels": block}
        block = block.float()
        if settings.augment == "strong":
            block = varied(block, rng)
        if settings.augment != "none":
            block = moved(block, rng)
        return {"pixels": flipped(block, rng) if settings.flip else block}

    tensor = Tensor("pixels", (column,), side=settings.side)
    return Material(build, inputs, {"pixels": {0: "rows"}}, [tensor], np.empty(0), np.empty(0))


def _sounds(column: str, values: Sequence[Sound], settings: CnnSettings) -> Material:
    mels: dict[int, NDArray[np.float32]] = {}

    def mels_of(at: int) -> NDArray[np.float32]:
        if at not in mels:
            mels[at] = log_mels(values[at].samples(), settings.seconds)
        return mels[at]

    mine = np.flatnonzero(parallel.own(np.arange(len(values))))
    frames = np.zeros(len(values), np.int64)
    frames[mine] = [len(mels_of(at)) for at in mine.tolist()]

    def build(outputs: int) -> Any:
        from trunkline.networks.audio_cnn import AudioCnn

        return AudioCnn(outputs, **settings.told())

    def inputs(rows: Index, rng: np.random.Generator | None) -> dict[str, Any]:
        import torch
        from torch.nn.utils.rnn import pad_sequence

        from trunkline.networks.audio_cnn import PADDING
        from trunkline.training.augment import masked, noisy, spoken

        sounds = [torch.from_numpy(mels_of(at)) for at in rows.tolist()]
        if rng is not None and settings.augment != "none":  # before padding, which noise would make sound of
            sounds = [noisy(spoken(sound, rng)[None], rng)[0] for sound in sounds]
            if settings.augment == "strong":
                sounds = [masked(sound[None], rng)[0] for sound in sounds]
        return {"mels": pad_sequence(sounds, batch_first=True, padding_value=PADDING)}

    tensor = Tensor("mels", (column,), seconds=settings.seconds)
    free = {"mels": {0: "rows", 1: "frames"}}
    return Material(build, inputs, free, [tensor], np.empty(0), np.empty(0), sizes=parallel.gathered(frames))
