"""How a Hugging Face vision model wants its pictures: its `preprocessor_config.json`, read here and done by Pillow and
numpy, so that serving needs neither transformers nor torch.

    rgb -> resized (to a size, or by its short side) -> cut from the middle -> * factor - offset -> (x - mean) / spread
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import TrunkError
from trunkline.inputs.image import Picture

# Family -> (one number as size is the short side, cut from the middle unless told otherwise)
FAMILIES = {
    "Beit": (False, True),
    "Bit": (True, True),
    "CLIP": (True, True),
    "ConvNext": (True, False),
    "DeiT": (False, True),
    "EfficientNet": (False, False),
    "Siglip": (False, False),
    "ViT": (False, False),
}
ENDS = ("ImageProcessorFast", "ImageProcessorPil", "ImageProcessor", "FeatureExtractor")
WARPED = 384  # pixels: ConvNext cuts smaller pictures from the middle, and presses larger ones into a square


@dataclass(frozen=True)
class ImageProcessor:
    """resize: (height, width), or the short side's length, or None. crop: (height, width) or None.
    resample: Pillow's number. mean, spread: of each colour."""

    resize: tuple[int, int] | int | None
    crop: tuple[int, int] | None
    resample: int
    factor: float
    offset: float
    mean: tuple[float, ...]
    spread: tuple[float, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what comes out."""
        fixed = self.crop or self.resize
        assert isinstance(fixed, tuple)
        return fixed

    def __call__(self, picture: Picture) -> NDArray[np.float32]:
        """float32 (1, 3, height, width)."""
        pixels = picture.rgb()
        if self.resize is not None:
            height, width = self._resized(pixels.height, pixels.width)
            pixels = pixels.resize((width, height), self.resample)
        if self.crop is not None:  # what lies outside is black
            (height, width), top, left = self.crop, (pixels.height - self.crop[0]) // 2, (pixels.width - self.crop[1]) // 2
            pixels = pixels.crop((left, top, left + width, top + height))
        scaled = np.asarray(pixels, np.float32) * np.float32(self.factor) - np.float32(self.offset)
        even = (scaled - np.array(self.mean, np.float32)) / np.array(self.spread, np.float32)
        return np.ascontiguousarray(even.transpose(2, 0, 1)[None])

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if isinstance(self.resize, tuple):
            return self.resize
        assert self.resize is not None
        short, long = min(height, width), max(height, width)
        longer = int(self.resize * long / short)
        return (longer, self.resize) if height >= width else (self.resize, longer)


def read_image_processor(given: Mapping[str, Any], where: str) -> ImageProcessor:
    """Of a preprocessor_config.json. Raises TrunkError for a family or a setting that is not known here."""
    family = _family(given, where)
    short, cut = FAMILIES[family]
    if given.get("do_pad"):
        raise _unknown(where, "do_pad", "true", "pictures that are not padded")
    resize = _size(given, "size", short, where) if given.get("do_resize", True) else None
    crop = _size(given, "crop_size", False, where) if given.get("do_center_crop", cut) else None
    if family == "ConvNext" and isinstance(resize, int):
        side = resize
        resize, crop = ((side, side), crop) if side >= WARPED else (int(side / given.get("crop_pct", 224 / 256)), (side, side))
    if isinstance(crop, int) or not isinstance(crop or resize, tuple):
        raise _unknown(where, "size", str(given.get("size")), "pictures that all come out equally large")
    mean, spread = _colours(given, family, where)
    factor = float(given.get("rescale_factor", 1 / 255)) if given.get("do_rescale", True) else 1.0
    offset = float(bool(given.get("rescale_offset")) and family == "EfficientNet")
    resample = int(given.get("resample", 3)) if resize is not None else 0
    if not 0 <= resample <= 5:
        raise _unknown(where, "resample", str(resample), "0 to 5, as Pillow numbers them")
    return ImageProcessor(resize, crop, resample, factor, offset, mean, spread)


def _family(given: Mapping[str, Any], where: str) -> str:
    named = str(given.get("image_processor_type") or given.get("feature_extractor_type") or "")
    found = next((named.removesuffix(end) for end in ENDS if named.endswith(end)), named)
    if found not in FAMILIES:
        raise _unknown(where, "image_processor_type", named or "nothing", ", ".join(f"{name}ImageProcessor" for name in FAMILIES))
    return found


def _colours(given: Mapping[str, Any], family: str, where: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """EfficientNet with `include_top` divides by the spread a second time, as its first TensorFlow form did."""
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    spread: tuple[float, ...] = (1.0, 1.0, 1.0)
    again = family == "EfficientNet" and given.get("include_top", True)
    if given.get("do_normalize", True):
        mean, spread = _three(given, "image_mean", where), _three(given, "image_std", where)
    if again:
        second = _three(given, "image_std", where)
        spread = tuple(a * b for a, b in zip(spread, second, strict=True))
    if not all(spread):
        raise _unknown(where, "image_std", str(spread), "three numbers that are not 0")
    return mean, spread


def _three(given: Mapping[str, Any], name: str, where: str) -> tuple[float, ...]:
    value = given.get(name)
    if not isinstance(value, list) or len(value) != 3 or not all(isinstance(one, int | float) for one in value):
        raise _unknown(where, name, str(value), "three numbers, one a colour")
    return tuple(map(float, value))


def _size(given: Mapping[str, Any], name: str, short: bool, where: str) -> tuple[int, int] | int:
    value = given.get(name)
    if isinstance(value, int) and value > 0:
        return value if short else (value, value)
    if isinstance(value, dict):
        sides = {key: int(side) for key, side in value.items() if side}
        if set(sides) == {"height", "width"}:
            return sides["height"], sides["width"]
        if set(sides) == {"shortest_edge"}:
            return sides["shortest_edge"]
    raise _unknown(where, name, str(value), "height and width, or shortest_edge")


def _unknown(where: str, name: str, found: str, wanted: str) -> TrunkError:
    return TrunkError(f"this model's pictures are made ready in a way that is not known here ({name})", where=where, found=found, wanted=wanted)
