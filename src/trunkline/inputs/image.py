"""The kind `image`: a picture in any format that Pillow decodes, upright, in RGB."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trunkline.inputs.blob import Blob, DataFile, read_blob, share_of_files
from trunkline.inputs.cell import digest
from trunkline.inputs.kept import Kept
from trunkline.inputs.magic import looks
from trunkline.types import Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Pixels

MAX_BYTES = 20_000_000  # of the file
MAX_PIXELS = 50_000_000  # by its header: more is refused before anything is decoded
SHORT = 512  # pixels of the short side that are kept: more than trunks look at
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # what is opened as JPEG may be an MPO
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_EXAMPLE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFElEQVR4nGOsqKhgwAaYsIoOWgkAHYcBeHFoDCsAAAAASUVORK5CYII="

_kept: Kept[Pixels] = Kept(64)  # decoded pictures, about a megabyte each


@dataclass(frozen=True)
class Picture:
    """A picture that was decoded once without fault; equal if its bytes are."""

    blob: Blob

    def __str__(self) -> str:
        """For reports."""
        path = self.blob.path
        return f"{path.parent.name}/{path.name}" if path else "a picture"

    def rgb(self) -> Pixels:
        """Upright RGB, short side at most SHORT. Raises DataError where its file has changed since."""
        known = _kept.recall(self.blob.digest)
        if known is None:
            known = _decode(self.blob.data(Image.name))
            _kept.remember(self.blob.digest, known)
        return known

    def pixels(self, side: int) -> NDArray[np.uint8]:
        """(3, side, side) of 0..255: the whole picture, pressed into a square."""
        import numpy as np
        from PIL import Image as Pillow

        return np.asarray(self.rgb().resize((side, side), Pillow.Resampling.BILINEAR)).transpose(2, 0, 1)


def picture_of(pixels: Pixels) -> Picture:
    """A picture that was made here, of RGB pixels."""
    file = io.BytesIO()
    pixels.save(file, "BMP")  # as they are, and quickly
    blob = Blob(digest(Image.name, file.getvalue()), held=file.getvalue())
    _kept.remember(blob.digest, pixels)
    return Picture(blob)


class Image:
    """Read as Picture. The key is the digest of the bytes, not of the pixels: decoders of one picture differ a little
    from version to version, and a row's part in the split may not move with them."""

    name: ClassVar[str] = "image"

    def read(self, raw: Any) -> Picture | Refused:
        """Refused: "missing", "too_long" (over 20 MB, or over 50 megapixels by its header), "unreadable"
        (no picture, or one that is cut off). Decodes, so a server calls it in its compute pool."""
        blob = read_blob(raw, self.name, MAX_BYTES, "the picture")
        if isinstance(blob, Refused) or _kept.recall(blob.digest) is not None:
            return blob if isinstance(blob, Refused) else Picture(blob)
        name = f"{raw.path.name} " if isinstance(raw, DataFile) else "this "
        try:
            pixels = _decode(blob.data(self.name))
        except _LargeError as error:
            return Refused("too_long", f"{name}has {error} pixels; at most {MAX_PIXELS:,} are read")
        except Exception as error:  # noqa: BLE001 - decoders raise whatever a broken file leads them to
            return Refused("unreadable", f"{name}can't be read as a picture: {_short(error, blob.data(self.name))}")
        _kept.remember(blob.digest, pixels)
        return Picture(blob)

    def key(self, value: Picture) -> bytes:
        return value.blob.digest

    def schema(self) -> dict[str, Any]:
        return {
            "type": "string",
            "contentEncoding": "base64",
            "description": "A picture (JPEG, PNG, WebP, GIF, BMP, TIFF) in base64, or a data URL; at most 20 MB, 50 megapixels.",
            "examples": [_EXAMPLE],
        }

    def guess(self, cells: Sequence[Any]) -> float:
        """High for files, paths and bytes that are pictures by their ends or first bytes."""
        return share_of_files(cells, self.name, SUFFIXES, _begins)


class _LargeError(ValueError):
    """More pixels than are read."""


def _decode(data: bytes) -> Pixels:
    """The first frame; alpha over white; sixteen bits by their upper eight; EXIF's rotation done."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd EXIF, and of sizes that are judged here
        try:
            found = Pillow.open(io.BytesIO(data), formats=FORMATS)
        except Pillow.DecompressionBombError as error:  # Pillow's own limit, of more than three times as many
            said = re.search(r"\((\d+) pixels\)", str(error))
            raise _LargeError(f"{int(said[1]):,}" if said else "too many") from None
        with found as opened:
            width, height = opened.size
            if width * height > MAX_PIXELS:
                raise _LargeError(f"{width * height:,}")
            if opened.format in ("JPEG", "MPO"):
                opened.draft(None, (SHORT * 2, SHORT * 2))  # at least this large: the rest needs no decoding
            opened.load()
            upright = ImageOps.exif_transpose(opened)
    pixels = _rgb(upright)
    short = min(pixels.size)
    if short <= SHORT:
        return pixels
    size = (max(1, round(pixels.width * SHORT / short)), max(1, round(pixels.height * SHORT / short)))
    return pixels.resize(size, Pillow.Resampling.BICUBIC)


def _rgb(picture: Pixels) -> Pixels:
    from PIL import Image as Pillow

    if picture.mode.startswith("I") or picture.mode == "F":
        import numpy as np

        deep = np.asarray(picture).astype(np.float64)
        most = 65_535 if picture.mode.startswith("I") else max(float(np.nanmax(deep)), 1e-9)
        return Pillow.fromarray(np.clip(np.nan_to_num(deep) / most * 255, 0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        white = Pillow.new("RGBA", picture.size, (255, 255, 255, 255))
        return Pillow.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("RGB")


def _begins(content: bytes) -> bool:
    return content.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*", b"MM\0*")) or content[8:12] == b"WEBP"


def _short(error: Exception, data: bytes) -> str:
    told = str(error).strip()
    if told and "cannot identify" not in told:
        return told.splitlines()[0][:120]
    found = looks(data)
    return f"it holds {found.name}; {', '.join(FORMATS)} are read" if found and not found.kind else "its content is not known"
