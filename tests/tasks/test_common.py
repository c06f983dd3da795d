from __future__ import annotations

from heapq import nlargest
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.methods.texts import spec_of

from trunkline.tasks.classify import Classify
from trunkline.tasks.common import judgeable, naive, named, outside_limit, row_by_row
from trunkline.types import Prediction


def test_rows_alone_in_their_class_are_not_judged() -> None:
    assert judgeable(np.array([0, 1, 1, 3])).tolist() == [False, True, True, False]
    assert judgeable(np.array([0.5, 1.5])).all()
    assert judgeable(np.zeros((3, 2), bool)).all()


def test_word_counts_are_a_baseline_where_there_is_a_text() -> None:
    assert naive(spec_of()) == ["majority", "ngrams"]
    assert naive(spec_of(inputs={"size": "number"})) == ["majority"]


def test_the_limit_is_the_quantile_of_the_rows() -> None:
    spec = spec_of(serve={"in_scope_share": 0.9})
    assert outside_limit(spec, Prediction(np.ones(101), np.linspace(0, 1, 101))) == 0.9


@given(st.lists(st.lists(st.sampled_from((0.0, 0.1, 0.2, 0.3, 1.0)), min_size=7, max_size=7), max_size=4), st.integers(1, 8))
def test_the_highest_scores_equal_ones_in_the_order_of_labels(rows: list[list[float]], top: int) -> None:
    labels = list("gfedcba")
    found = named(np.array(rows).reshape(-1, 7), [labels], top)
    for row, scores in zip(rows, found, strict=True):
        pairs = list(zip(labels, row, strict=True))
        assert list(scores.items()) == (pairs if top >= 7 else nlargest(top, pairs, key=lambda pair: pair[1]))


def test_labels_must_be_as_many_as_scores() -> None:
    for labels in (list("ab"), list("abcd")):
        for top in (1, None):
            with pytest.raises(ValueError, match="as many"):
                named(np.ones((2, 3)), [labels], top)


def test_a_task_that_decodes_its_own_way_answers_one_product_at_a_time() -> None:
    class Own(Classify):
        def decode(self, *given: Any) -> Any:
            return []

    assert row_by_row(Classify())
    assert not row_by_row(Own())
