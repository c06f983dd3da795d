"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

from typing import NamedTuple


class Looks(NamedTuple):
    """name: for people, "a JPEG image". suffix: of a kind that is read, "" for others."""

    name: str
    kind: str = ""
    suffix: str = ""


_MAGIC = {
    b"\xff\xd8\xff": Looks("a JPEG image", "image", ".jpg"),
    b"\x89PNG": Looks("a PNG image", "image", ".png"),
    b"GIF8": Looks("a GIF image", "image", ".gif"),
    b"II*\0": Looks("a TIFF image", "image", ".tif"),
    b"MM\0*": Looks("a TIFF image", "image", ".tif"),
    b"fLaC": Looks("a FLAC sound", "audio", ".flac"),
    b"OggS": Looks("an Ogg sound", "audio", ".ogg"),
    b"ID3": Looks("an MP3 sound", "audio", ".mp3"),
    b"PK\x03\x04": Looks("a zip or Excel file"),
    b"\xd0\xcf\x11\xe0": Looks("an old Excel or Word file"),
    b"%PDF": Looks("a PDF"),
    b"\x1f\x8b": Looks("a gzip file"),
    b"PAR1": Looks("a Parquet file"),
    b"\x7fELF": Looks("a program"),
    b"SQLite format 3": Looks("an SQLite database"),
}
_WITHIN = {  # after a length or a size
    b"WEBP": Looks("a WebP image", "image", ".webp"),
    b"WAVE": Looks("a WAV sound", "audio", ".wav"),
    b"heic": Looks("a HEIC image"),
    b"avif": Looks("an AVIF image"),
}


def looks(head: bytes) -> Looks | None:
    """None where the first bytes (12 are enough) are none that is known."""
    return next((known for magic, known in _MAGIC.items() if head.startswith(magic)), _WITHIN.get(head[8:12]))
