"""What a network looks with, in the report: drawn in both languages, small, and without customers' words elsewhere."""

from __future__ import annotations

import msgspec
import pytest
from tests.proof import fakes

from trunkline.explain.inside import FILTERS, SIDE, WORDS
from trunkline.proof import Report, render_html
from trunkline.proof.explained import Attention, Filter, Inside
from trunkline.proof.report import without_rows

EVIL = "<b>parcel</b>"


def shown() -> Report:
    """As much as there can be."""
    tiles = tuple(Filter(("area", "edge", "detail")[at % 3], SIDE, (f"#{at:02x}80ff",) * SIDE**2) for at in range(FILTERS))
    words = (EVIL, *(f"word{at}" for at in range(1, WORDS)))
    shares = tuple(tuple(tuple(0.01 * (head + layer) + 0.001 * at for at in range(WORDS)) for head in range(4)) for layer in range(8))
    attention = tuple(Attention(row, words, 7, shares) for row in (3, 5, 9))
    return msgspec.structs.replace(fakes.proven("hotels"), inside=Inside(tiles, attention))


@pytest.mark.parametrize(("language", "says"), [("en", "Attention is no explanation by itself"), ("zh", "注意力本身不是解释")])
def test_the_page_draws_them_and_stays_small(language: str, says: str) -> None:
    text = render_html(shown(), language)
    assert len(text.encode()) < 1_000_000
    assert says in text
    fold = text[text.index('id="inside"') :].split('<details class="fold"')[0]
    assert fold.count('fill="#0080ff"') == SIDE**2
    assert fold.count("<svg") == 4
    assert EVIL not in text
    assert "7 more words" in text or "另有 7 个词" in text


def test_it_goes_to_json_and_back() -> None:
    report = shown()
    again = Report.from_dict(report.as_dict())
    assert again.inside.filters == report.inside.filters
    assert [one.words for one in again.inside.attention] == [one.words for one in report.inside.attention]


def test_words_of_customers_stay_at_home_and_filters_travel() -> None:
    bare = without_rows(shown().as_dict())
    assert bare["inside"]["attention"] == []
    assert len(bare["inside"]["filters"]) == FILTERS
    text = render_html(shown(), "en", with_rows=False)
    assert "word3" not in text
    assert 'id="inside"' in text


def test_a_report_without_a_network_has_no_such_fold() -> None:
    report = fakes.proven("hotels")
    assert 'id="inside"' not in render_html(report, "en")
    old = {name: value for name, value in report.as_dict().items() if name != "inside"}
    assert Report.from_dict(old).inside == Inside()
    assert without_rows(old)["inside"] == {"attention": []}
    assert 'id="inside"' not in render_html(old, "en", with_rows=False)
