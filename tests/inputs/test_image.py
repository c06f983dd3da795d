"""Pictures as people send them: turned, transparent, deep, cut off, far too large, or no pictures at all."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from trunkline.errors import DataError
from trunkline.inputs.blob import DataFile
from trunkline.inputs.image import SHORT, Image, Picture
from trunkline.types import Refused


def saved(picture: Pillow.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def noise(width: int = 60, height: int = 40) -> Pillow.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Pillow.fromarray(pixels)


def read(raw: Any) -> Picture:
    found = Image().read(raw)
    assert isinstance(found, Picture), found
    return found


def refused(raw: Any) -> Refused:
    found = Image().read(raw)
    assert isinstance(found, Refused)
    return found


def test_bytes_base64_data_url_and_file_are_one_picture(tmp_path: Path) -> None:
    data = saved(noise(), "PNG")
    text = base64.b64encode(data).decode()
    (tmp_path / "a.txt").write_bytes(data)  # known by its content, whatever its name
    found = {read(raw) for raw in (data, text, f"data:image/png;base64,{text}", DataFile(tmp_path / "a.txt"))}
    assert len(found) == 1
    assert found.pop().rgb().size == (60, 40)


def test_a_request_opens_no_path_and_no_address(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(saved(noise(), "PNG"))
    for raw in (str(tmp_path / "a.png"), f"file://{tmp_path}/a.png", "http://127.0.0.1/a.png", "../a.png"):
        assert refused(raw).code == "unreadable"


def test_a_picture_is_turned_as_its_camera_said() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    assert read(saved(noise(60, 40), "JPEG", exif=exif)).rgb().size == (40, 60)


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "P", "LA", "YCbCr", "LAB"])
def test_colours_of_all_sorts_become_rgb(mode: str) -> None:
    form = "JPEG" if mode in ("CMYK", "YCbCr") else "TIFF" if mode == "LAB" else "PNG"
    plain = noise().convert("RGBA") if mode == "LA" else noise()
    picture = plain.convert(mode) if mode != "LAB" else Pillow.new("LAB", (60, 40))
    assert read(saved(picture, form)).rgb().mode == "RGB"


def test_sixteen_bits_keep_their_middle() -> None:
    deep = Pillow.fromarray(np.full((4, 4), 32_768, np.uint16))
    assert np.asarray(read(saved(deep, "PNG")).rgb()).ravel()[0] in (127, 128)


def test_what_is_transparent_is_white() -> None:
    clear = Pillow.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert np.asarray(read(saved(clear, "PNG")).rgb()).min() == 255


def test_of_a_moving_picture_the_first_frame_counts() -> None:
    frames = [Pillow.new("RGB", (4, 4), colour) for colour in ("white", "black")]
    moving = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.asarray(read(moving).rgb()).min() == 255


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_picture_that_is_cut_off_is_refused(form: str) -> None:
    whole = saved(noise(300, 200), form)
    assert refused(whole[: len(whole) // 2]).code == "unreadable"


@pytest.mark.parametrize("side", [10_000, 20_000])  # the second is over Pillow's own limit too
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)  # no pixel follows: none may be looked for
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    assert refused(bomb).code == "too_long"
    assert f"{side * side:,} pixels; at most 50,000,000 are read" in refused(bomb).message


def test_large_pictures_are_kept_small() -> None:
    assert min(read(saved(noise(1600, 1200), "JPEG")).rgb().size) == SHORT


def test_a_file_that_changes_while_it_is_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(saved(noise(), "PNG"))
    found = read(DataFile(file))
    file.write_bytes(saved(noise(61), "PNG"))
    with pytest.raises(DataError, match="changed"):
        found.blob.data("image")


@given(data=st.binary(max_size=300), head=st.sampled_from([b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF", b"BM"]))
def test_whatever_bytes_come_they_are_a_picture_or_refused(data: bytes, head: bytes) -> None:
    assert isinstance(Image().read(head + data), Picture | Refused)
