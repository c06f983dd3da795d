"""Sounds as people send them: of many channels and rates, empty, broken, cut off, far too long, or no sounds at all."""

from __future__ import annotations

import base64
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.errors import DataError
from trunkline.inputs import audio
from trunkline.inputs.audio import RATE, Audio, Sound
from trunkline.inputs.blob import DataFile
from trunkline.types import Refused


def tone(pitch: float = 440.0, seconds: float = 0.5, rate: int = RATE, loud: float = 0.5) -> NDArray[np.float64]:
    return loud * np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)


def saved(samples: Any, rate: int = RATE, form: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype, format=form)
    return file.getvalue()


def read(raw: Any) -> Sound:
    found = Audio().read(raw)
    assert isinstance(found, Sound), found
    return found


def refused(raw: Any) -> Refused:
    found = Audio().read(raw)
    assert isinstance(found, Refused)
    return found


def pitch_of(samples: NDArray[np.float32]) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax()) * RATE / len(samples)


def test_bytes_base64_data_url_and_file_are_one_sound(tmp_path: Path) -> None:
    data = saved(tone())
    text = base64.b64encode(data).decode()
    (tmp_path / "a.txt").write_bytes(data)
    found = {read(raw) for raw in (data, text, f"data:audio/wav;base64,{text}", DataFile(tmp_path / "a.txt"))}
    assert len(found) == 1
    np.testing.assert_allclose(found.pop().samples(), tone(), atol=1e-4)


@pytest.mark.parametrize("form", ["WAV", "FLAC", "MP3", "OGG"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_every_format_and_rate_keeps_pitch_length_and_loudness(form: str, rate: int) -> None:
    samples = read(saved(tone(rate=rate), rate, form)).samples()
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(RATE / 2, rel=0.15 if form == "MP3" else 0.001)  # MP3 adds silence at its ends
    assert pitch_of(samples) == pytest.approx(440, abs=4)
    assert np.abs(samples[2_000:6_000]).max() == pytest.approx(0.5, abs=0.03)


def test_eight_channels_are_mixed_to_one() -> None:
    each = np.stack([tone(loud=loud) for loud in (0.8, 0, 0.8, 0, 0.8, 0, 0.8, 0)], 1)
    np.testing.assert_allclose(read(saved(each)).samples(), tone(loud=0.4), atol=1e-4)


def test_what_lies_above_half_the_rate_is_taken_out_and_not_folded_back() -> None:
    samples = read(saved(tone(15_000, rate=48_000), 48_000)).samples()
    assert np.abs(samples[500:-500]).max() < 1e-3


def test_numbers_over_one_are_turned_down_together() -> None:
    samples = read(saved(tone(loud=20_000), subtype="FLOAT")).samples()
    np.testing.assert_allclose(samples, tone(loud=1), atol=1e-3)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(odd: float) -> None:
    samples = tone()
    samples[7_000] = odd
    found = refused(saved(samples, subtype="FLOAT"))
    assert found.code == "unreadable"
    assert "no numbers" in found.message


def test_no_samples_are_refused_and_one_is_enough() -> None:
    found = refused(saved(np.zeros(0)))
    assert found.code == "unreadable"
    assert "0 samples" in found.message
    for rate in (8_000, 16_000, 192_000):
        assert len(read(saved(np.ones(1) / 2, rate)).samples()) >= 1


def test_seconds_and_bytes_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(bytes(audio.MAX_BYTES + 1)).code == "too_long"
    small = saved(np.zeros((audio.MAX_SECONDS + 1) * 8_000), 8_000, "FLAC")
    assert len(small) < 200_000  # silence takes no place: bytes alone would let it in
    assert refused(small).code == "too_long"
    assert "300 s" in refused(small).message


@pytest.mark.parametrize(("rate", "words"), [(100, "samples a second"), (400_000, "samples a second")])
def test_rates_that_no_sound_has_are_refused(rate: int, words: str) -> None:
    assert words in refused(saved(np.zeros(10), rate)).message


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
@pytest.mark.parametrize("form", ["FLAC", "WAV", "OGG", "MP3"])
def test_a_sound_that_is_cut_off_is_refused(form: str, share: float) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 30_000)
    whole = saved(noise, 16_000, form)
    assert not isinstance(Audio().read(whole), Refused)
    why = refused(whole[: int(len(whole) * share)])
    assert (why.code, "<_io" in why.message) == ("unreadable", False)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_recorder_that_does_not_know_the_size_is_believed(size: int) -> None:
    data = bytearray(saved(tone()))
    data[4:8] = struct.pack("<I", size)
    assert isinstance(Audio().read(bytes(data)), Sound)


def test_other_formats_that_the_decoder_knows_are_refused() -> None:
    assert "AIFF" in refused(saved(tone(), form="AIFF")).message


def test_a_header_that_promises_more_than_memory_is_refused_before_it_is_decoded() -> None:
    data = bytearray(saved(tone(seconds=0.01)))
    data[40:44] = struct.pack("<I", 0xFFFFFFF0)
    found = Audio().read(bytes(data))  # the decoder goes by what is there
    assert isinstance(found, Sound | Refused)


def test_a_request_opens_no_path_and_no_address(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(saved(tone()))
    for raw in (str(tmp_path / "a.wav"), f"file://{tmp_path}/a.wav", "http://127.0.0.1/a.wav"):
        assert refused(raw).code == "unreadable"


def test_a_file_that_changes_while_it_is_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(saved(tone(300)))
    found = read(DataFile(file))
    file.write_bytes(saved(tone(301)))
    with pytest.raises(DataError, match="changed"):
        found.blob.data("audio")


@given(data=st.binary(max_size=400), head=st.sampled_from(["", "WAV", "FLAC", "MP3", "OGG"]), kept=st.integers(0, 200))
@settings(deadline=None)
def test_whatever_bytes_come_they_are_a_sound_or_refused(data: bytes, head: str, kept: int) -> None:
    start = saved(tone(seconds=0.05), form=head)[:kept] if head else b""
    assert isinstance(Audio().read(start + data), Sound | Refused)
