from __future__ import annotations

import numpy as np
from tests.methods.texts import spec_of

from trunkline.tasks.common import judgeable, naive, outside_limit
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
