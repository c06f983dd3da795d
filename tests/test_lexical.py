from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import BundleError
from trunkline.lexical import MAX_CHARS, Lexicon, count_ngrams, counts_of, normalise, weigh_each

RUNS = st.lists(st.sampled_from(["card", "don't", "x", "卡", "a卡b", "é́", "\0", "w" * 45, "1.5%", ""]) | st.text(max_size=8))
TEXTS = st.lists(st.text(max_size=40), min_size=1, max_size=6)


def found(text: str) -> set[int]:
    return set(count_ngrams([[text]]).hash.tolist())


def only_in(text: str, less: str) -> int:
    return len(found(text) - found(less))


def everything(texts: list[str]) -> Lexicon:
    hashes = np.unique(count_ngrams([texts]).hash)
    return Lexicon(hashes, np.linspace(1, 3, len(hashes)).astype(np.float16))


def test_ngrams_of_letters_are_threes_fours_and_words() -> None:
    # " abc ": " ab", "abc", "bc ", " abc", "abc ", and the word
    assert len(found("abc")) == 6
    # single letters count only as the word with its spaces, and as the word itself
    assert len(found("a")) == 2


def test_ngrams_of_chinese_go_from_one_to_three_and_are_no_words() -> None:
    # 卡; " 卡", "卡 "; " 卡 "
    assert len(found("卡")) == 4
    assert {*found("我"), *found("的")} & found("我的")
    assert only_in("我的卡", "我的") > 0


def test_words_pair_across_spaces_but_not_across_rows() -> None:
    both = found("blue card") - found("blue") - found("card")
    assert len(both) == 1
    assert not both & set(count_ngrams([["blue", "card"]]).hash.tolist())


def test_case_width_and_spaces_make_no_difference() -> None:
    assert found("ＣＡＲＤ　Late") == found("card  late")
    assert normalise("  A\n\tb ") == "a b"


def test_columns_of_equal_text_give_different_features() -> None:
    both = count_ngrams([["card"], ["card"]])
    assert len(both.hash) == 2 * len(found("card"))


def test_no_text_and_strange_text() -> None:
    assert count_ngrams([]).n == 0
    odd = count_ngrams([["", " ", "\0", "😀", "\ud800", "é̂", "٣٤"]])
    assert odd.n == 7
    assert not (odd.row <= 2).any()  # empty, a space, NUL
    assert found("a\0card") == found("a card")


def test_a_long_text_is_cut() -> None:
    started = time.perf_counter()
    count_ngrams([["ab " * 3_000_000]])
    assert time.perf_counter() - started < 2
    assert found("x" * MAX_CHARS + " tail") == found("x" * MAX_CHARS)


@given(TEXTS)
def test_a_row_is_the_same_alone_and_in_any_batch(texts: list[str]) -> None:
    lexicon = everything(texts)
    together = lexicon.transform([texts])
    for i, text in enumerate(texts):
        alone = lexicon.transform([[text]])
        assert np.array_equal(alone.row(0)[0], together.row(i)[0])
        assert np.array_equal(alone.row(0)[1], together.row(i)[1])


@given(TEXTS, st.integers(1, 5))
def test_many_lexicons_weigh_as_each_alone(texts: list[str], count: int) -> None:
    lexicons = [everything(texts[i:]) for i in range(count)]  # the last ones may be empty
    counts = count_ngrams([texts])
    whole = weigh_each(lexicons, counts)
    whole = weigh_each(lexicons, counts)
    assert len(whole) == count * len(texts)
    for i, lexicon in enumerate(lexicons):
        alone = lexicon.weigh(counts)
        for at in range(len(texts)):
            columns, values = whole.row(i * len(texts) + at)
            assert np.array_equal(columns, alone.row(at)[0])
            assert values.tobytes() == alone.row(at)[1].tobytes()


@given(TEXTS)
def test_rows_have_length_one_or_none_and_ascending_columns(texts: list[str]) -> None:
    weighed = everything(texts).transform([texts])
    for i in range(len(texts)):
        columns, values = weighed.row(i)
        assert (np.diff(columns) > 0).all()
        assert not len(values) or float(np.linalg.norm(values)) == pytest.approx(1, abs=1e-5)



@given(st.lists(RUNS.map(" ".join), min_size=1, max_size=3))
def test_a_row_put_together_from_its_words_is_the_row(row: list[str]) -> None:
    texts = [[text] for text in row]
    one, whole = counts_of(texts), count_ngrams(texts)
    for name in ("row", "hash", "count"):
        ours, wanted = getattr(one, name), getattr(whole, name)
        assert ours.dtype == wanted.dtype
        assert ours.tolist() == wanted.tolist()
    assert one.n == whole.n == 1


@settings(max_examples=30)
@given(st.text(max_size=60))
def test_the_same_ngrams_as_a_plain_loop(text: str) -> None:
    clean = normalise(text)
    wide = {*range(0x3040, 0xA000), *range(0x20000, 0x40000)}
    grams = set()
    for word in clean.split(" "):
        padded = f" {word} " if word else ""
        for n in (1, 2, 3, 4):
            for i in range(len(padded) - n + 1):
                gram = padded[i : i + n]
                held = any(ord(c) in wide for c in gram)
                if gram.strip() and (n <= 3 if held else n >= 3):
                    grams.add(gram)
    words: list[str] = []
    run = ""
    for c in f"{clean} ":
        if c.isalnum() and ord(c) not in wide:
            run += c
        elif run:
            words, run = [*words, run], ""
    pairs = set(pairwise(words))
    assert len(found(text)) == len(grams) + len(set(words)) + len(pairs)


def test_a_lexicon_survives_saving_and_refuses_what_does_not_fit() -> None:
    lexicon = everything(["my card", "我的卡"])
    again = Lexicon.load(lexicon.arrays())
    assert np.array_equal(again.hashes, lexicon.hashes)
    assert np.array_equal(again.idf, lexicon.idf)
    with pytest.raises(BundleError):
        Lexicon.load({"hashes": lexicon.hashes[::-1].copy(), "idf": lexicon.idf})
    with pytest.raises(BundleError):
        Lexicon.load({"hashes": lexicon.hashes, "idf": lexicon.idf[:-1]})
    with pytest.raises(BundleError):
        Lexicon.load({"hashes": lexicon.hashes.astype(np.int64), "idf": lexicon.idf})


def test_five_thousand_short_texts_a_second() -> None:
    texts = [f"my card number {i} has not arrived yet" for i in range(5000)]
    lexicon = everything(texts[:100])
    started = time.perf_counter()
    lexicon.transform([texts])
    assert time.perf_counter() - started < 1.5  # 1 on a quiet machine, and 0.2 in fact
