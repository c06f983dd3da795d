"""Text scores: the ridge of the textbook, and out-of-fold for the rows it learned from."""

import numpy as np

from trunkline.methods.table_target import Answers
from trunkline.methods.text_scores import _Ridge, learn_text_scores


def test_the_eigenbasis_solves_the_normal_equations() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 6)) + 3, rng.normal(size=(50, 2))
    weights, bias = _Ridge.of(x, y).weights(0.1)
    centred = x - x.mean(axis=0)
    gram = centred.T @ centred
    wanted = np.linalg.solve(gram + 0.1 * np.trace(gram) / 6 * np.eye(6), centred.T @ (y - y.mean(axis=0)))
    np.testing.assert_allclose(weights, wanted)
    np.testing.assert_allclose((x @ weights + bias).mean(axis=0), y.mean(axis=0))


def test_noise_is_not_trusted_and_signal_is_found() -> None:
    rng = np.random.default_rng(1)
    pooled, folds = rng.normal(size=(200, 64)).astype(np.float32), np.arange(200) % 5
    noise = rng.integers(0, 2, 200)
    for target, low, high in ((noise, -0.25, 0.25), ((pooled[:, 3] > 0).astype(int), 0.6, 1.0)):
        text, scores = learn_text_scores("t", "trunk:hash", pooled, Answers(target, "logistic", 1), folds)
        assert scores.shape == (200, 1)
        assert low < np.corrcoef(scores[:, 0], target)[0, 1] < high
        assert text.of(pooled).shape == (200, 1)


def test_a_score_a_class() -> None:
    pooled, folds = np.random.default_rng(2).normal(size=(90, 8)).astype(np.float32), np.arange(90) % 3
    target = pooled[:, :3].argmax(axis=1)
    text, scores = learn_text_scores("t", "trunk:hash", pooled, Answers(target, "softmax", 3), folds)
    assert text.weights.shape == (8, 3)
    assert (scores.argmax(axis=1) == target).mean() > 0.75
