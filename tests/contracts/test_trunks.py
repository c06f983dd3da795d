"""What every trunk promises: a card that says who it is, and vectors that are a function of the text alone."""

from __future__ import annotations

import numpy as np
import pytest

from trunkline.inputs import KINDS
from trunkline.trunks import TRUNKS, find
from trunkline.types import Call, Engine

TEXTS = ["My card has not arrived", "我的卡还没到", "", "a", "早餐很好 but the room was cold 😀", "long " * 200, "我的卡还没到"]


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
def test_a_text_has_the_same_vector_alone_and_in_any_batch(name: str) -> None:
    engine = engine_of(name)
    together = engine.run(Call(f"trunk:{name}", TEXTS))
    assert together.shape == (len(TEXTS), engine.card.dim)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    for text, vector in zip(TEXTS, together, strict=True):
        assert np.array_equal(engine.run(Call(f"trunk:{name}", [text]))[0], vector)
    assert np.array_equal(engine.run(Call(f"trunk:{name}", TEXTS[::-1]))[::-1], together)


@pytest.mark.parametrize("name", TRUNKS.names())
def test_no_rows_give_no_vectors_and_costs_are_positive(name: str) -> None:
    engine = engine_of(name)
    assert engine.run(Call(f"trunk:{name}", [])).shape == (0, engine.card.dim)
    assert all(engine.cost(text) > 0 for text in TEXTS)


@pytest.mark.parametrize("name", TRUNKS.names())
def test_streaming_gives_what_running_gives(name: str) -> None:
    engine = engine_of(name)
    call = Call(f"trunk:{name}", TEXTS[:2])
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
