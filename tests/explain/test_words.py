"""Texts cut into the units of an explanation."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.explain.parts import Part, Texts
from trunkline.explain.words import cells_of, units_of


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("My card hasn't arrived!", ["My", "card", "hasn't", "arrived"]),
        ("房间很干净,服务也不错。", ["房间", "很", "干净", "服务", "也", "不错"]),
        ("前台服务员", ["前台", "服务员"]),
        ("iPhone 15 Pro 坏了 😡😡", ["iPhone", "15", "Pro", "坏", "了", "😡", "😡"]),
        ("a.b@c.org, 3.5%", ["a.b@c.org", "3.5"]),
        ("  ... ", []),
    ],
)
def test_words_and_chinese_groups(text: str, wanted: list[str]) -> None:
    assert [text[a:b] for a, b in units_of(text)] == wanted


@given(st.text(alphabet=st.sampled_from(list("ab'- ,.!1é我的不好房间\n\u3000😡ก\u0301")), max_size=60) | st.text(max_size=60))
def test_every_sign_belongs_to_one_unit(text: str) -> None:
    units = units_of(text)
    assert all(a < b for a, b in units)
    assert all(b <= c for (_, b), (c, _) in itertools.pairwise(units))
    cells = cells_of(text, units)
    assert "".join(text[a:b] for a, b in cells) == (text if units else "")
    assert all(c <= a and b <= d for (a, b), (c, d) in zip(units, cells, strict=True))


@given(st.text(alphabet=st.sampled_from(list("ab ,我的不好")), max_size=40), st.integers(1, 30))
def test_parts_cover_the_words_once_and_leaving_out_all_leaves_nothing(text: str, most: int) -> None:
    one = Texts("text", text)
    parts = one.parts(most)
    assert [unit for part in parts for unit in range(part.first, part.last)] == list(range(len(one.units)))
    assert len(parts) <= most
    for part in parts:
        finer = one.finer(part)
        assert not finer or [finer[0].first, finer[-1].last] == [part.first, part.last]


def test_what_is_left_reads_as_a_text() -> None:
    one = Texts("text", "My card, the new one, is late.")
    assert one.without([Part("text", "words", 1, 2)]) == "My the new one, is late."
    assert one.without([Part("text", "words", 6, 7), Part("text", "words", 0, 1)]) == "card, the new one, is"
