"""Spans found in a text, judged as whole entities: start, end and type must all be right (Tjong Kim Sang &
De Meulder 2003; what conlleval and seqeval count)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.metrics.weighting import Array, Figure, Weights, answer, given, ratio

Spans = NDArray[Any]  # (n,) of tuples of types.Span


def counts(target: Spans, values: Spans, label: int | None = None) -> tuple[Array, Array, Array]:
    """(right, said, true) spans of each row, float64 (n,) each; of one label if given."""
    out = np.zeros((3, len(target)))
    for at, (true, said) in enumerate(zip(target, values, strict=True)):
        wanted, found = _places(true, label), _places(said, label)
        out[:, at] = len(wanted & found), len(found), len(wanted)
    return out[0], out[1], out[2]


def span_precision(target: Spans, values: Spans, weights: Weights = None) -> Figure:
    """Share of the spans said that are right; nan where none is said."""
    right, said, _ = counts(target, values)
    return _share(right, said, weights)


def span_recall(target: Spans, values: Spans, weights: Weights = None) -> Figure:
    """Share of the true spans that are found; nan where there is none."""
    right, _, true = counts(target, values)
    return _share(right, true, weights)


def span_f1(target: Spans, values: Spans, weights: Weights = None) -> Figure:
    """2 right / (said + true), over all types; nan where there is neither."""
    right, said, true = counts(target, values)
    return _share(2 * right, said + true, weights)


def span_macro_f1(target: Spans, values: Spans, weights: Weights = None, labels: int = 0) -> Figure:
    """Mean of the F1 of the types that are true or said somewhere."""
    each = []
    for label in range(labels):
        right, said, true = counts(target, values, label)
        each.append(np.atleast_1d(_share(2 * right, said + true, weights)))
    known = ~np.isnan(each)
    means = ratio(np.where(known, each, 0.0).sum(axis=0), known.sum(axis=0).astype(np.float64))
    return answer(means, weights)


def exact_rows(target: Spans, values: Spans) -> Array:
    """(n,) 1 where exactly the true spans are said."""
    pairs = zip(target, values, strict=True)
    return np.array([float(_places(true, None) == _places(said, None)) for true, said in pairs])


def exact_spans(target: Spans, values: Spans, weights: Weights = None) -> Figure:
    rows, w = exact_rows(target, values), given(weights, len(target))
    return answer(ratio(w @ rows, w.sum(axis=1)), weights)


def _share(above: Array, below: Array, weights: Weights) -> Figure:
    w = given(weights, len(above))
    return answer(ratio(w @ above, w @ below), weights)


def _places(spans: Sequence[Any], label: int | None) -> set[tuple[int, int, int]]:
    return {(span[0], span[1], span[2]) for span in spans if label is None or span[2] == label}
