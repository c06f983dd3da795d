"""What every trunk promises: a card that says who it is, and vectors that are a function of the item alone."""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from trunkline.inputs import KINDS
from trunkline.trunks import TRUNKS, find
from trunkline.types import Call, Engine

TEXTS: list[Any] = ["My card has not arrived", "我的卡还没到", "", "a", "早餐很好 but the room was cold 😀", "long " * 200, "我的卡还没到"]


def items_of(kind: str) -> list[Any]:
    """Seven items of a kind, the last equal to the second."""
    if kind == "text":
        return TEXTS
    if kind == "audio":
        return [KINDS.get(kind)().read(tone(seconds, at)) for at, seconds in enumerate((0.3, 1.7, 0.001, 4.2, 2.0, 0.1))] + [KINDS.get(kind)().read(tone(1.7, 1))]
    made = [picture(*size) for size in ((300, 200), (40, 640), (8, 8), (224, 224), (1000, 700), (1, 9), (40, 640))]
    return [KINDS.get(kind)().read(one) for one in made]


def picture(width: int, height: int) -> bytes:
    """A PNG of noise, the same for the same size."""
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3)).astype(np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def tone(seconds: float, seed: int) -> bytes:
    """A WAV file of noise."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes(np.random.default_rng(seed).normal(0, 2_000, round(seconds * 16_000)).astype("<i2").tobytes())
    return file.getvalue()


def engine_of(name: str) -> Engine:
    trunk = find(name)
    lacking = trunk.available()
    if lacking is not None:
        pytest.skip(f"{name}: {lacking.message}")
    return trunk.load()


@pytest.mark.parametrize("name", TRUNKS.names())
def test_the_card_says_who_it_is(name: str) -> None:
    card = find(name).card
    assert card.id == name
    assert len(card.fingerprint) >= 32
    assert card.kind in KINDS.names()
    assert "pooled" in card.forms
    assert card.dim > 0
    assert card.licence
    assert card.source
    assert find(name).card == card


def test_fingerprints_differ() -> None:
    prints = [find(name).card.fingerprint for name in TRUNKS.names()]
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize("name", TRUNKS.names())
def test_an_item_has_the_same_vector_alone_and_in_any_batch(name: str) -> None:
    engine = engine_of(name)
    items = items_of(engine.card.kind)
    together = engine.run(Call(f"trunk:{name}", items))
    assert together.shape == (len(items), engine.card.dim)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    for item, vector in zip(items, together, strict=True):
        assert np.array_equal(engine.run(Call(f"trunk:{name}", [item]))[0], vector)
    assert np.array_equal(engine.run(Call(f"trunk:{name}", items[::-1]))[::-1], together)


@pytest.mark.parametrize("name", TRUNKS.names())
def test_no_rows_give_no_vectors_and_costs_are_positive(name: str) -> None:
    engine = engine_of(name)
    assert engine.run(Call(f"trunk:{name}", [])).shape == (0, engine.card.dim)
    assert all(engine.cost(item) > 0 for item in items_of(engine.card.kind))


@pytest.mark.parametrize("name", TRUNKS.names())
def test_streaming_gives_what_running_gives(name: str) -> None:
    engine = engine_of(name)
    call = Call(f"trunk:{name}", items_of(engine.card.kind)[:2])
    assert np.array_equal(np.concatenate(list(engine.stream(call))), engine.run(call))


@pytest.mark.parametrize("name", TRUNKS.names())
def test_tokens_are_a_function_of_the_text_alone_and_point_into_it(name: str) -> None:
    engine = engine_of(name)
    if "tokens" not in engine.card.forms:
        pytest.skip(f"{name} gives no tokens")
    together = engine.run(Call(f"trunk:{name}", TEXTS, "tokens"))
    for text, tokens in zip(TEXTS, together, strict=True):
        assert len(tokens.vectors) == len(tokens.starts) == len(tokens.ends)
        assert all(0 <= a <= b <= len(text) for a, b in zip(tokens.starts, tokens.ends, strict=True))
        assert not text.strip() or tokens.ends[-1] == len(text.rstrip())
        (alone,) = engine.run(Call(f"trunk:{name}", [text], "tokens"))
        assert np.array_equal(alone.vectors, tokens.vectors)
