"""Words by their ids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import BundleError
from trunkline.vocabulary import FIRST, PADDING, UNKNOWN, Vocabulary, tokens_of


def test_words_characters_and_marks() -> None:
    assert tokens_of("Don't  PANIC，酒店very好！") == ["don", "'", "t", "panic", ",", "酒", "店", "very", "好", "!"]


def test_the_frequent_words_come_first_and_ties_by_the_alphabet() -> None:
    found = Vocabulary.fit(["b a b", "c a", "once"], most=2)
    assert found.words == ("a", "b")
    assert found.ids("b a zzz", 10).tolist() == [FIRST + 1, FIRST, UNKNOWN]
    assert found.ids("b a zzz", 2).tolist() == [FIRST + 1, FIRST]


@given(st.text(max_size=60), st.integers(1, 8))
def test_ids_are_never_empty_never_padding_never_too_many(text: str, longest: int) -> None:
    found = Vocabulary(("a", "酒")).ids(text, longest)
    assert 1 <= len(found) <= longest
    assert (found != PADDING).all()


@given(st.lists(st.text(min_size=1, max_size=30), max_size=20))
def test_saved_and_loaded_it_is_the_same(texts: list[str]) -> None:
    known = Vocabulary.fit(texts, most=50, at_least=1)
    assert Vocabulary.load(known.save()).words == known.words


@pytest.mark.parametrize("saved", [np.frombuffer(b"a\n\nb", np.uint8), np.frombuffer(b"a\na", np.uint8), np.array([255], np.uint8), np.zeros(3)])
def test_what_is_no_vocabulary_is_refused(saved: np.ndarray) -> None:
    with pytest.raises(BundleError, match="vocabulary"):
        Vocabulary.load(saved)
