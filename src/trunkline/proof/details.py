"""A metric with its interval, and what the report tells of each task beside its metrics."""

from __future__ import annotations

import math
from typing import Self

from msgspec import Struct

from trunkline.types import Estimate

DIGITS = 6  # significant digits kept of every float


class Interval(Struct, frozen=True):
    """A number with its 95 % interval over n rows; None where the rows can't give it."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    @classmethod
    def of(cls, estimate: Estimate) -> Self:
        parts = (tidy(estimate.value), tidy(estimate.low), tidy(estimate.high))
        return cls(*parts, estimate.n)


class Figure(Struct, frozen=True):
    """One metric: its interval, the baselines on the same rows, and paired gains over them.

    Gains are signed so that more is better, whatever way the metric points.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str
    higher_is_better: bool
    baselines: dict[str, Interval] = {}
    gains: dict[str, Interval] = {}
    reason: str = ""

    @property
    def interval(self) -> Interval:
        return Interval(self.value, self.low, self.high, self.n)


def tidy(number: float | None) -> float | None:
    """Six significant digits; None for what JSON can't say."""
    if number is None or not math.isfinite(number):
        return None
    return float(f"{number:.{DIGITS}g}")


class ClassRow(Struct, frozen=True):
    """One label: rows where it is true (support), where it was said, and its figures."""

    label: str
    support: int
    said: int
    precision: Interval
    recall: Interval
    f1: Interval


class Pair(Struct, frozen=True):
    """`count` of the `support` rows of `truth` were answered `answer`."""

    truth: str
    answer: str
    count: int
    support: int


class Bin(Struct, frozen=True):
    """Answers of like confidence: what was promised (confidence) and what came true (right)."""

    low: float
    high: float
    confidence: float
    right: Interval


class ClassifyDetail(Struct, frozen=True, tag="classify"):
    """confusion[i][j]: rows of order[i] answered order[j]; None with more than 30 classes.
    order puts labels that take each other's rows side by side. histogram: rows by confidence, 20 equal
    steps from 0 to 1."""

    classes: tuple[ClassRow, ...]
    order: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...] | None
    pairs: tuple[Pair, ...]
    bins: tuple[Bin, ...]
    histogram: tuple[int, ...]


class MultilabelDetail(Struct, frozen=True, tag="multilabel"):
    classes: tuple[ClassRow, ...]
    true_per_row: float
    said_per_row: float
    bins: tuple[Bin, ...]
    histogram: tuple[int, ...]


class SpansDetail(Struct, frozen=True, tag="spans"):
    """classes: by type; support and said count spans, not rows. bins, histogram: of the spans said, by their scores."""

    classes: tuple[ClassRow, ...]
    bins: tuple[Bin, ...] = ()
    histogram: tuple[int, ...] = ()


class AnswerPart(Struct, frozen=True):
    """Rows with an answer, or without one: how many of them were given one, and how good that was."""

    has_answer: bool
    rows: int
    said: Interval
    exact: Interval
    f1: Interval


class AnswersDetail(Struct, frozen=True, tag="answers"):
    """said: share of all rows that were given an answer."""

    said: Interval
    parts: tuple[AnswerPart, ...]


class Quantile(Struct, frozen=True):
    """A fifth of the rows by true value: where its truths lie and how far off the answers are."""

    low: float
    high: float
    error: Interval
    bias: float


class RegressDetail(Struct, frozen=True, tag="regress"):
    """points: (true, answered) of at most 400 rows; coverage: share of truths within the interval
    that came with the answer, None where answers have none."""

    points: tuple[tuple[float, float], ...]
    quantiles: tuple[Quantile, ...]
    coverage: Interval | None


Detail = ClassifyDetail | MultilabelDetail | RegressDetail | SpansDetail | AnswersDetail
