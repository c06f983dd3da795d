from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.methods.texts import spec_of

from trunkline.tasks.sureness import EDGE, FEWEST, rescored, temperature_of, warmed
from trunkline.tasks.tag import Tag, ragged
from trunkline.types import Examples, Prediction, Span


def test_too_sure_scores_are_cooled_to_what_came_true() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(0.3, 0.97, 4_000)
    right = rng.random(4_000) < true
    shown = warmed(true, 0.5)  # twice the log odds that they deserve
    temperature = temperature_of(shown, right)
    assert temperature == pytest.approx(2.0, rel=0.15)
    assert abs(warmed(shown, temperature).mean() - right.mean()) < 0.02


@pytest.mark.parametrize("right", [np.zeros(FEWEST, bool), np.ones(FEWEST, bool), np.arange(FEWEST - 1) % 2 == 0, np.zeros(0, bool)])
def test_few_or_equal_outcomes_say_nothing(right: NDArray[np.bool_]) -> None:
    assert temperature_of(np.full(len(right), 0.9), right) == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.1, 10))
def test_order_and_range_stay(scores: list[float], temperature: float) -> None:
    found = warmed(np.array(scores), temperature)
    assert ((found >= 0) & (found <= 1)).all()
    order = np.argsort(scores, kind="stable")
    assert (np.diff(found[order]) >= 0).all()


def test_a_half_stays_a_half_and_edges_are_held() -> None:
    assert warmed(np.array([0.5]), 3.0)[0] == pytest.approx(0.5)
    assert warmed(np.array([0.8]), 2.0)[0] == pytest.approx(2 / 3)  # odds 4, their root 2
    assert warmed(np.array([1.0]), 1.0)[0] == pytest.approx(1 - EDGE)
    spans = [Span(0, 1, 0, "a", 1.0)]
    assert rescored(spans, 1.0) == spans


def test_the_task_says_how_sure_a_span_is_and_keeps_to_the_precision_asked_for() -> None:
    rng = np.random.default_rng(1)
    n = 600
    scores = rng.uniform(0.5, 1, n)
    right = rng.random(n) < warmed(scores, 3.0)
    target = ragged([[Span(0, 1, 0, "a")] if hit else [] for hit in right])
    said = Prediction(ragged([[Span(0, 1, 0, "a", float(score))] for score in scores]))
    known = Examples([{"text": "a"}] * n, target, ("X",), [str(i).encode() for i in range(n)], np.arange(n))
    decision = Tag().calibrate(spec_of("tag"), known, said)
    shown = [span.score for spans in Tag().finish(said, decision).values for span in spans]
    assert decision.temperature > 1.5
    assert abs(np.mean(shown) - right.mean()) < 0.03 < abs(scores.mean() - right.mean())
    below = Tag().calibrate(spec_of("tag", serve={"abstain_below": 0.6}), known, said)
    kept = Tag().finish(said, below).values
    assert all(span.score >= 0.6 for spans in kept for span in spans)
    assert 0 < sum(map(len, kept)) < n
