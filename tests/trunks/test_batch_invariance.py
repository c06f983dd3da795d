"""The invariant of the house: the same text gives bit-equal output alone and in any batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


@pytest.mark.parametrize("name", ["e5-small", "minilm", "hash"])
def test_tokens_alone_as_in_a_batch(engines: dict[str, Engine], name: str) -> None:
    engine = engines[name]
    texts = ["hello", "房间很干净", "a much longer sentence about nothing in particular"]
    together = engine.run(Call("trunk:x", texts, "tokens"))
    for text, states in zip(texts, together, strict=True):
        assert np.array_equal(engine.run(Call("trunk:x", [text], "tokens"))[0], states)
