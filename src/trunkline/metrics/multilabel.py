"""Figures for rows with any number of labels.

target: bool (n, L); values: (n, L) probabilities; a label is said where its probability reaches its
threshold (one for all, or one per label).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.metrics.classify import f1_of
from trunkline.metrics.ranking import _average_precision, _drawn_precision, mean_area
from trunkline.metrics.weighting import (
    Array,
    Figure,
    Weights,
    answer,
    given,
    mean_of,
    mean_of_known,
    undefined,
)

Bools = NDArray[np.bool_]
Thresholds = float | Sequence[float]
PAIRS = 4_000_000  # label pairs compared at once: bounds the memory of label_ranking_rows


def _counts(
    target: Bools, values: NDArray[Any], thresholds: Thresholds, weights: Weights
) -> tuple[Array, Array, Array]:
    """Weighted hits, said and true per label, each (draws, L)."""
    said = values >= np.asarray(thresholds)
    w = given(weights, len(target))
    return w @ (target & said).astype(float), w @ said.astype(float), w @ target.astype(float)


def multilabel_micro_f1(
    target: Bools, values: NDArray[Any], thresholds: Thresholds = 0.5, weights: Weights = None
) -> Figure:
    """F1 over all (row, label) pairs together; nan where no label is true or said anywhere."""
    if np.isnan(values).any():
        return undefined(weights)
    hits, said, true = (c.sum(axis=1) for c in _counts(target, values, thresholds, weights))
    return answer(f1_of(hits, said, true), weights)


def multilabel_macro_f1(
    target: Bools, values: NDArray[Any], thresholds: Thresholds = 0.5, weights: Weights = None
) -> Figure:
    """Mean F1 over the labels that are true or said at least once."""
    if np.isnan(values).any():
        return undefined(weights)
    return answer(mean_of_known(f1_of(*_counts(target, values, thresholds, weights))), weights)


def exact_match_rows(target: Bools, values: NDArray[Any], thresholds: Thresholds = 0.5) -> Array:
    """(n,) 1 where exactly the true labels are said; nan where the values hold a NaN."""
    rows = np.asarray(((values >= np.asarray(thresholds)) == target).all(axis=1), np.float64)
    rows[np.isnan(values).any(axis=1)] = np.nan
    return rows


def exact_match(
    target: Bools, values: NDArray[Any], thresholds: Thresholds = 0.5, weights: Weights = None
) -> Figure:
    """Share of rows with exactly the true labels (subset accuracy)."""
    return mean_of(exact_match_rows(target, values, thresholds), weights)


def label_ranking_rows(target: Bools, values: NDArray[Any]) -> Array:
    """(n,) mean over a row's true labels of the share of true labels among those ranked as high;
    1 for rows with no or every label (as scikit-learn)."""
    n, labels = target.shape
    rows = np.ones(n)
    step = max(1, PAIRS // max(1, labels * labels))
    for start in range(0, n, step):
        y, p = target[start : start + step], values[start : start + step]
        as_high = p[:, None, :] >= p[:, :, None]  # [row, label, other label]
        precision = (as_high & y[:, None, :]).sum(axis=2) / np.maximum(as_high.sum(axis=2), 1)
        true = y.sum(axis=1)
        mean = (precision * y).sum(axis=1) / np.maximum(true, 1)
        rows[start : start + step] = np.where((true == 0) | (true == labels), 1.0, mean)
    rows[np.isnan(values).any(axis=1)] = np.nan
    return rows


def label_ranking_average_precision(target: Bools, values: NDArray[Any], weights: Weights = None) -> Figure:
    """LRAP (Schapire & Singer 2000): are the true labels ranked above the others?"""
    return mean_of(label_ranking_rows(target, values), weights)


def multilabel_average_precision(target: Bools, values: NDArray[Any], weights: Weights = None) -> Figure:
    """Mean over labels of average precision; labels without a true row are left out."""
    if np.isnan(values).any() or not target.size:
        return undefined(weights)
    return mean_area(_average_precision, _drawn_precision, target, values, weights)
