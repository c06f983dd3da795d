"""The invariant of the house: the same text gives bit-equal output alone and in any batch."""

from __future__ import annotations

import copy
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline.engines import measure
from trunkline.engines.batching import ROWS, TOKENS, Batch
from trunkline.engines.settings import Settings, Tunable
from trunkline.engines.threads import workers
from trunkline.types import Call, Engine

_WORDS = st.sampled_from(
    ["card", "卡", "房间", "很", "干净", "is", "早餐", "the", "lost", "不错", "refund", "2026", "!!!", "mmmm", "。。。", "😀", "naïve", "ПРИВЕТ", "テスト"]
)
_TEXTS = st.lists(
    st.lists(_WORDS, min_size=1, max_size=60).map(" ".join), min_size=1, max_size=12, unique=True
)


@pytest.mark.parametrize("name", ["e5-small", "e5-small-f32", "use-multilingual", "minilm", "hash"])
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=_TEXTS, data=st.data())
def test_alone_as_in_any_batch(
    engines: dict[str, Engine], name: str, texts: list[str], data: st.DataObject
) -> None:
    if name not in engines:
        pytest.skip(f"{name} is not on this machine")
    engine = engines[name]
    together = engine.run(Call("trunk:x", texts))
    order = data.draw(st.permutations(range(len(texts))))
    shuffled = engine.run(Call("trunk:x", [texts[i] for i in order]))
    assert np.array_equal(shuffled, together[order])
    alone = engine.run(Call("trunk:x", texts[:1]))
    assert np.array_equal(alone[0], together[0])


# All that a measurement may choose, and the ends of what a hand may; those that cut alike only once.
_BATCHES = {
    tuple(batch.room(cost) for cost in range(8, 136, 8)): batch
    for batch in (Batch(*pair) for pair in [*product(measure.ROWS, measure.TOKENS), *product(ROWS, TOKENS)])
}.values()
_WORDS_EACH = (1, 2, 2, 3, 6, 6, 7, 7, 7, 8, 8, 8, 9, 9, 9, 10, 10, 10, 10, 11, 11, 11, 11, 40, 40, 41, 41, 90)


@pytest.mark.parametrize("name", ["e5-small", "e5-small-f32", "use-multilingual", "minilm"])
def test_bits_are_the_same_whatever_the_settings(engines: dict[str, Engine], name: str) -> None:
    if name not in engines:
        pytest.skip(f"{name} is not on this machine")
    engine = engines[name]
    assert isinstance(engine, Tunable)
    words = ["the", "room", "card", "is", "lost", "房间", "很", "干净", "refund", "of", "my", "payment", "早餐", "不错", "today"]
    texts = [" ".join(words[(at + i) % len(words)] for i in range(n)) for at, n in enumerate(_WORDS_EACH)]
    alone = np.concatenate([engine.run(Call("trunk:x", [text])) for text in texts])
    for at, batch in enumerate(_BATCHES):
        other = copy.copy(engine)
        other.settings = Settings(batch, 1 if at % 2 else workers())
        found = other.run(Call("trunk:x", texts))
        assert found.tobytes() == alone.tobytes(), other.settings


@pytest.mark.parametrize("name", ["e5-small", "minilm", "hash"])
def test_tokens_alone_as_in_a_batch(engines: dict[str, Engine], name: str) -> None:
    if name not in engines:
        pytest.skip(f"{name} is not on this machine")
    engine = engines[name]
    texts = ["hello", "房间很干净", "a much longer sentence about nothing in particular", "", "word " * 300]
    together = engine.run(Call("trunk:x", texts, "tokens"))
    for text, tokens in zip(texts, together, strict=True):
        (alone,) = engine.run(Call("trunk:x", [text], "tokens"))
        assert np.array_equal(alone.vectors, tokens.vectors)
        assert np.array_equal(alone.starts, tokens.starts)
