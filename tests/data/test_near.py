from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.data.near import SIMILAR, near_pairs
from trunkline.data.normal import letters, normal


def pairs(*texts: str) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in near_pairs(texts)[0]]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("How do I top up my card?", "How do I top-up my card"),
        ("位于徐家汇中心地段，房价经济实惠，环境也很好呢！", "位于徐家汇中心地段,房价经济实惠,环境也很好呢"),
        ("ＡＢＣ　Straße", "abc strasse"),
        ("Ok..", "ok"),
        ("😀😀", "😀😀"),
        ("", ""),
    ],
)
def test_near(a: str, b: str) -> None:
    assert pairs(a, "something quite different", b) == [(0, 2)]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("I like this hotel", "I dislike this hotel"),
        ("我喜欢这家酒店", "我不喜欢这家酒店"),
        ("I was charged 10 dollars", "I was charged 100 euros"),
        ("😀", "😡"),
        ("!!!", "???"),
    ],
)
def test_not_near(a: str, b: str) -> None:
    assert pairs(a, b) == []


@given(st.lists(st.text(alphabet="abc ", max_size=12), min_size=2, max_size=30))
def test_pairs_are_ordered_distinct_and_truly_similar(texts: list[str]) -> None:
    found, similar = near_pairs(texts)
    assert len({tuple(pair) for pair in found.tolist()}) == len(found)
    assert (found[:, 0] < found[:, 1]).all()
    assert (similar >= SIMILAR).all()
    assert (similar <= 1).all()

    def grams(text: str) -> set[str]:
        padded = f" {letters(text)} ".ljust(3)
        return {padded[i : i + 3] for i in range(len(padded) - 2)}

    for (a, b), value in zip(found.tolist(), similar.tolist(), strict=True):
        x, y = grams(texts[a]), grams(texts[b])
        assert value == pytest.approx(len(x & y) / len(x | y))
    equal = {(a, b) for b in range(len(texts)) for a in range(b) if letters(texts[a]) == letters(texts[b])}
    assert equal <= {tuple(pair) for pair in found.tolist()}


def test_crowds_are_linked_as_a_star() -> None:
    assert len(pairs(*["the same boilerplate"] * 200)) == 199


def test_10k_short_texts_take_seconds() -> None:
    random = np.random.default_rng(0)
    words = ["".join(chr(97 + c) for c in random.integers(0, 26, 6)) for _ in range(500)]
    texts = [" ".join(words[i] for i in random.integers(0, 500, 10)) for _ in range(10_000)]
    texts[-1] = texts[0] + "!"
    start = time.perf_counter()
    assert pairs(*texts) == [(0, 9_999)]
    assert time.perf_counter() - start < 10  # about 1 s on an idle core


@given(st.text())
def test_normal_is_stable(text: str) -> None:
    assert normal(normal(text).strip()) == normal(text)
