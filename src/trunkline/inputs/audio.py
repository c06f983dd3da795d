"""The kind `audio`: a sound in wav, flac, mp3 or ogg, mixed to one channel, at 16,000 samples a second."""

from __future__ import annotations

import base64
import io
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import MissingExtra
from trunkline.inputs.blob import Blob, DataFile, read_blob, share_of_files
from trunkline.inputs.kept import Kept
from trunkline.types import Refused

Samples: TypeAlias = NDArray[np.float32]
MAX_BYTES = 20_000_000  # of the file
MAX_SECONDS = 300
RATE = 16_000  # samples a second that are kept: what speech is analysed at
RATES = (4_000, 192_000)  # of the file, least and most
MAX_CHANNELS = 64
FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3")
SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus"})
_BLOCK = 65_536  # frames that are decoded at a time, so that a small file never fills memory
_OPENING = re.compile(r"^Error opening <.*?>: (?:Error : )?")  # libsndfile's, of a file that has no name
_NO_SIZE = 0x7FFF0000  # from here on a WAV file's size means that it wasn't known
_kept: Kept[Samples] = Kept(64_000_000)  # bytes of samples


@dataclass(frozen=True)
class Sound:
    """A sound that was decoded once without fault; equal if its bytes are."""

    blob: Blob

    def samples(self) -> Samples:
        """float32 (n,), -1..1, RATE a second. Raises DataError where its file has changed since."""
        known = _kept.recall(self.blob.digest)
        if known is None:
            known = _decode(self.blob.data(Audio.name))
            _kept.remember(self.blob.digest, known, known.nbytes)
        return known


class Audio:
    """Read as Sound. The key is the digest of the bytes, not of the samples: decoders of one sound differ a little from
    version to version, and a row's part in the split may not move with them."""

    name: ClassVar[str] = "audio"

    def read(self, raw: Any) -> Sound | Refused:
        """Refused: "missing", "too_long" (over 20 MB or five minutes), "unreadable" (no sound, no samples, samples that
        are no numbers, or cut off). Decodes, so a server calls it in its compute pool. Raises MissingExtra."""
        blob = read_blob(raw, self.name, MAX_BYTES, "the sound")
        if isinstance(blob, Refused) or _kept.recall(blob.digest) is not None:
            return blob if isinstance(blob, Refused) else Sound(blob)
        name = raw.path.name if isinstance(raw, DataFile) else "this"
        try:
            samples = _decode(blob.data(self.name))
        except MissingExtra:
            raise
        except _LongError:
            return Refused("too_long", f"{name} is longer than {MAX_SECONDS} s, the most that is read")
        except Exception as error:  # noqa: BLE001 - decoders raise whatever a broken file leads them to
            return Refused("unreadable", f"{name} can't be read as a sound: {_short(error)}")
        _kept.remember(blob.digest, samples, samples.nbytes)
        return Sound(blob)

    def key(self, value: Sound) -> bytes:
        return value.blob.digest

    def schema(self) -> dict[str, Any]:
        return {
            "type": "string",
            "contentEncoding": "base64",
            "description": "A sound (WAV, FLAC, MP3, Ogg) in base64, or a data URL; at most 20 MB, 300 seconds.",
            "examples": [_example()],
        }

    def guess(self, cells: Sequence[Any]) -> float:
        """High for files, paths and bytes that are sounds by their ends or first bytes."""
        return share_of_files(cells, self.name, SUFFIXES, _begins)


class _LongError(ValueError):
    """More seconds than are read."""


def _decode(data: bytes) -> Samples:
    """The mean of all channels, resampled to RATE; turned down where it is louder than a file can say (peak 1)."""
    try:
        import soundfile
        import soxr
    except ImportError as error:
        raise MissingExtra(error.name or "soundfile", "audio") from None
    _check_whole(data)
    parts: list[Samples] = []
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        _check(file)
        resampler = soxr.ResampleStream(file.samplerate, RATE, 1, dtype="float32", quality="HQ")
        frames = 0
        while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
            frames += len(block)
            if frames > MAX_SECONDS * file.samplerate:
                raise _LongError
            if not np.isfinite(block).all():
                raise ValueError("it holds samples that are no numbers")
            parts.append(resampler.resample_chunk(block.mean(axis=1, dtype=np.float64).astype(np.float32)))
        if not frames:
            raise ValueError("it holds 0 samples")
        if frames < file.frames:
            raise ValueError(f"it is cut off: {frames:,} of {file.frames:,} samples are there")
    parts.append(resampler.resample_chunk(np.empty(0, np.float32), last=True))
    samples = np.concatenate(parts)
    samples = samples if len(samples) else np.zeros(1, np.float32)  # of one sample at a higher rate nothing may be left
    if not np.isfinite(samples).all():
        raise ValueError("it holds samples that are no numbers")
    return np.asarray(samples / max(np.float32(1), np.abs(samples).max()), np.float32)


def _check_whole(data: bytes) -> None:
    """What libsndfile doesn't mind: a WAV file's own size (recorders that don't know it write 0 or all ones; the last
    chunk's padding may be missing), and that an Ogg file's last page says so. Raises ValueError."""
    if data.startswith(b"OggS") and not data[data.rfind(b"OggS") :][5:6] >= b"\4":
        raise ValueError("it is cut off: its last page is missing")
    told = int.from_bytes(data[4:8], "little") + 8
    if data.startswith(b"RIFF") and data[8:12] == b"WAVE" and 8 < told < _NO_SIZE and len(data) < told - 1:
        raise ValueError(f"it is cut off: {len(data):,} of {told:,} bytes are there")


def _check(file: Any) -> None:
    """What the header tells. Raises ValueError."""
    if file.format not in FORMATS:
        raise ValueError(f"{file.format} is no format that is read ({', '.join(FORMATS)})")
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise ValueError(f"{file.samplerate:,} samples a second; {RATES[0]:,} to {RATES[1]:,} are read")
    if file.channels > MAX_CHANNELS:
        raise ValueError(f"it has {file.channels} channels; at most {MAX_CHANNELS} are read")
    if file.frames > MAX_SECONDS * file.samplerate:
        raise _LongError


def _begins(content: bytes) -> bool:
    return content.startswith((b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2")) or content[8:12] == b"WAVE"


def _short(error: Exception) -> str:
    told = _OPENING.sub("", str(error).strip())
    return "its content is not known" if "Format not recognised" in told or not told else told.splitlines()[0][:120]


def _example() -> str:
    """Ten milliseconds of silence: a WAV file of 8 bits."""
    silence = bytes([128]) * 80
    head = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + 80, b"WAVEfmt ", 16, 1, 1, 8_000, 8_000, 1, 8, b"data", 80)
    return base64.b64encode(head + silence).decode()
