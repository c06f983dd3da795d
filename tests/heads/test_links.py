"""Scores and probabilities: known answers, extremes, one row against the batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import BundleError
from trunkline.heads.links import LINKS, apply_link, known_link


def test_known_answers() -> None:
    np.testing.assert_allclose(
        apply_link("logistic", np.array([[0.0], [np.log(3)]])), [[0.5, 0.5], [0.25, 0.75]]
    )
    np.testing.assert_allclose(apply_link("softmax", np.log([[1.0, 3.0, 4.0]])), [[0.125, 0.375, 0.5]])
    np.testing.assert_allclose(apply_link("labels", np.array([[0.0, -np.log(3)]])), [[0.5, 0.25]])
    np.testing.assert_array_equal(apply_link("identity", np.array([[7.0], [-1.0]])), [7, -1])


@pytest.mark.parametrize("link", ["logistic", "softmax", "labels"])
def test_extreme_scores_give_probabilities_without_overflow(link: str) -> None:
    scores = np.array([[1e4], [-1e4]]) if link == "logistic" else np.array([[1e4, -1e4], [-1e4, 1e4]])
    values = apply_link(link, scores)
    assert np.isin(values, (0, 1)).all()


@given(
    scores=st.lists(st.floats(-800, 800), min_size=1, max_size=40),
    width=st.integers(1, 3),
    link=st.sampled_from(LINKS),
)
def test_a_row_of_any_link_is_its_own(scores: list[float], width: int, link: str) -> None:
    matrix = np.repeat(np.array(scores)[:, None], 1 if link in ("logistic", "identity") else width, axis=1)
    whole = apply_link(link, matrix)
    for i in range(len(scores)):
        np.testing.assert_array_equal(apply_link(link, matrix[i : i + 1])[0], whole[i])


@pytest.mark.parametrize(
    ("link", "outputs"), [("probit", 1), (None, 1), ("logistic", 2), ("identity", 2), ("softmax", 0)]
)
def test_a_link_that_does_not_fit_is_refused(link: object, outputs: int) -> None:
    with pytest.raises(BundleError):
        known_link(link, outputs)
