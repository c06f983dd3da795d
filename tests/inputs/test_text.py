from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.inputs.cell import clean
from trunkline.inputs.text import Text, places
from trunkline.types import Refused

KIND = Text()


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("I lost my card", "I lost my card"),
        ("我的卡还没到", "我的卡还没到"),
        ("  outer spaces stay ", "  outer spaces stay "),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\0b\x07c\x7f", "abc"),
        ("a\ud83d b", "a\ufffd b"),
        ("e\u0301", "é"),
        ("😀👩‍👩‍👧", "😀👩‍👩‍👧"),
        ("<b>bold</b> & <script>", "<b>bold</b> & <script>"),
    ],
)
def test_read(raw: str, value: str) -> None:
    assert KIND.read(raw) == value


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (None, "missing"),
        ("", "missing"),
        (" \n\t　", "missing"),
        ("\0\0", "missing"),
        ("\u200b\ufeff", "missing"),
        (5, "unreadable"),
        (["a"], "unreadable"),
        (b"a", "unreadable"),
        ("a" * 10_000_000, "too_long"),
        ("字" * 400_000, "too_long"),
    ],
)
def test_refused(raw: object, code: str) -> None:
    value = KIND.read(raw)
    assert isinstance(value, Refused)
    assert value.code == code
    assert len(value.message) < 200


def test_the_limit_counts_bytes() -> None:
    assert KIND.read("字" * 333_333) == "字" * 333_333
    assert isinstance(KIND.read("字" * 333_334), Refused)


@given(st.text())
def test_values_are_clean_and_stable(raw: str) -> None:
    value = KIND.read(raw)
    if not isinstance(value, Refused):
        assert value.encode()
        assert unicodedata.is_normalized("NFC", value)
        assert not any(unicodedata.category(ch) == "Cc" and ch not in "\n\t" for ch in value)
        assert KIND.read(value) == value


def test_key_is_of_the_exact_text() -> None:
    assert KIND.key("Card") != KIND.key("card")
    assert KIND.key("e\u0301") != KIND.key("é")


@given(text=st.text(st.sampled_from("ae\u0301\u0327\u0308 中\x00\r\n\x85ᄒ\u1161\u11ab한😀\u200d\ufeff"), max_size=20))
def test_places_say_of_what_every_character_was_made(text: str) -> None:
    read = Text().read(text)
    starts, ends = places(text)
    if isinstance(read, str):
        assert len(starts) == len(ends) == len(read)
        assert all(0 <= a < b <= len(text) for a, b in zip(starts, ends, strict=True))
        assert starts == sorted(starts)
        assert ends == sorted(ends)
        assert "".join(clean(text[a:b]) for a, b in dict.fromkeys(zip(starts, ends, strict=True))) == read
