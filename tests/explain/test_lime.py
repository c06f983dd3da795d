"""LIME against black boxes whose weights are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from trunkline.explain.lime import kernel, neighbours, ridge
from trunkline.explain.subject import Subject
from trunkline.explain.why import Asked, Explanation, explaining
from trunkline.program import one
from trunkline.tasks.classify import Classify
from trunkline.types import Call, Decision, Inputs, Outputs, Prediction, Program

WEIGHTS = {"late": 0.4, "lost": 0.2, "thanks": -0.15}


class WordsHead:
    """The probability of yes is a sum over words."""

    format: ClassVar[str] = "words"

    def run(self, rows: Sequence[Inputs]) -> Program:
        yield from ()
        yes = np.array([0.2 + sum(WEIGHTS.get(word, 0.0) for word in row["text"].split()) for row in rows])
        return Prediction(np.stack([1 - yes, yes], axis=1))

    def save(self) -> Any:
        raise NotImplementedError

    @classmethod
    def load(cls, meta: Any, arrays: Any) -> WordsHead:
        raise NotImplementedError


def no_engine(calls: Sequence[Call]) -> Outputs:
    raise AssertionError("no engine is asked")


def explained(text: str) -> Explanation:
    subject = Subject(WordsHead(), Classify(), Decision(), ("no", "yes"), {"text": "text"})
    _, found = one(explaining(subject, {"text": text}, Asked(label="yes", method="lime", budget=400)), no_engine)
    assert isinstance(found, Explanation)
    return found


def test_a_sum_is_found_again() -> None:
    found = explained("my card is late and lost thanks to you all the same")
    weights = {reason.name: reason.weight for reason in found.reasons}
    assert [reason.name for reason in found.reasons][:3] == ["late", "lost", "thanks"]
    for word, weight in WEIGHTS.items():
        assert weights[word] == pytest.approx(weight, abs=0.03)
    assert (found.unit, found.method, found.rows) == ("probability", "lime", 400)
    assert found.agreement == pytest.approx(1, abs=0.01)
    assert found.figure == pytest.approx(0.65)
    assert explained("my card is late and lost thanks to you all the same") == found


def test_neighbours_lack_any_number_of_parts_and_near_ones_count_more() -> None:
    there = neighbours(10, 500)
    sizes = (~there).sum(axis=1)
    assert sizes.min() == 1
    assert sizes.max() == 10
    assert np.bincount(sizes, minlength=11)[1:].min() > 20  # each number about equally often
    assert abs(there.mean(axis=0) - there.mean()).max() < 0.1
    weights = kernel(np.array([[1.0, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0]]))
    assert weights[0] == 1
    assert weights[0] > weights[1] > weights[2]


def test_the_ridge_is_that_of_scikit_learn() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    x, y, weights = rng.integers(0, 2, (80, 6)).astype(float), rng.normal(size=80), rng.uniform(0.1, 1, 80)
    slopes, base = ridge(x, y, weights)
    wanted = linear.Ridge(alpha=1.0).fit(x, y, sample_weight=weights)
    np.testing.assert_allclose(slopes, wanted.coef_, atol=1e-9)
    assert base == pytest.approx(wanted.intercept_)
