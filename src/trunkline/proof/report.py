"""The report: what the proof found, as plain frozen values that go to JSON and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import msgspec
from msgspec import Struct

from trunkline.errors import BundleError
from trunkline.proof.gate import Verdict
from trunkline.proof.tuned import Tuned
from trunkline.types import Estimate

FORMAT = 1
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


class Slice(Struct, frozen=True):
    """The primary metric on the rows where column = value; differs: its interval excludes the
    figure of all rows."""

    column: str
    value: str
    estimate: Interval
    differs: bool


class Reason(Struct, frozen=True):
    """A part of a row that pushed its answer, as in `explain.why.Reason`."""

    column: str
    kind: str
    name: str
    weight: float
    without: float | None = None


class Near(Struct, frozen=True):
    """A training row that lies near another row."""

    row: int
    inputs: dict[str, str]
    label: str


class Mistake(Struct, frozen=True):
    """A wrong answer. probability: what the answer was sure of (None for numbers); size: how wrong,
    for ordering."""

    row: int
    inputs: dict[str, str]
    truth: str
    answer: str
    probability: float | None
    size: float
    why: tuple[Reason, ...] = ()  # of the worst ones, as is
    near: tuple[Near, ...] = ()


class Leaning(Struct, frozen=True):
    """As `explain.survey.Leaning`."""

    column: str
    kind: str
    name: str
    label: str
    weight: float
    rows: int


class Faithful(Struct, frozen=True):
    """How far the answer falls without its `removed` heaviest parts, and without as many at random; the difference, and
    how many times as far. unit: "%" of probabilities, "" of a number."""

    removed: int
    unit: str
    top: Interval
    random: Interval
    difference: Interval
    ratio: Interval


class Rule(Struct, frozen=True):
    """As `methods.imitation.Rule`."""

    depth: int
    question: str
    answer: str
    rows: int


class Imitation(Struct, frozen=True):
    """A small tree, how often it says what the product says (of the test rows), and how often the commonest answer is it."""

    rules: tuple[Rule, ...]
    fidelity: Interval
    commonest: float


class Why(Struct, frozen=True):
    faithful: Faithful | None
    overall: tuple[Leaning, ...]
    imitation: Imitation | None = None


class Filter(Struct, frozen=True):
    """As `explain.inside.Filter`; pixels as #rrggbb, row by row."""

    kind: str
    side: int
    pixels: tuple[str, ...]


class Attention(Struct, frozen=True):
    """As `explain.inside.Attention`, of the row by its number in the source."""

    row: int
    words: tuple[str, ...]
    more: int
    shares: tuple[tuple[tuple[float, ...], ...], ...]


class Inside(Struct, frozen=True):
    """What a network that was learned here looks with."""

    filters: tuple[Filter, ...] = ()
    attention: tuple[Attention, ...] = ()


class Brought(Struct, frozen=True):
    """What an input column brings: the primary metric's paired gain over the product without it, more is better.
    method: as in `types.Without`."""

    column: str
    kind: str
    method: str
    gain: Interval


class Point(Struct, frozen=True):
    rows: int
    value: Interval
    extrapolated: bool


class Step(Struct, frozen=True):
    """One rung of the method ladder."""

    method: str
    metric: str
    value: Interval
    gain: Interval | None
    seconds: float
    size_bytes: int
    kept: bool
    note: str


class Fault(Struct, frozen=True):
    """A data finding without its rows."""

    check: str
    severity: str
    score: float
    count: int
    en: str
    zh: str
    fix: str


class Data(Struct, frozen=True):
    rows: dict[str, int]
    labels: dict[str, int]
    findings: tuple[Fault, ...]
    source: str
    digest: str


class Answered(Struct, frozen=True):
    """Shares of the test rows by status, and the share right among the rows answered."""

    n: int
    ok: float
    abstained: float
    out_of_scope: float
    right: Interval | None


class Cost(Struct, frozen=True):
    """One row a call, features uncached, on `machine`. cpu_ms: core time of the middle call, taken
    as p50_ms on one core where it was not measured apart."""

    p50_ms: float
    p95_ms: float
    rows_per_s: float
    n: int
    cpu_ms: float
    per_1000: float
    core_hour_price: float
    currency: str


class TrunkCard(Struct, frozen=True):
    id: str
    licence: str
    source: str
    fingerprint: str
    dim: int
    languages: tuple[str, ...]


class Report(Struct, frozen=True):
    """Everything the proof found. `mistakes[].inputs` is all it holds of customers' rows."""

    product: str
    title: str
    task: str
    label: str
    inputs: dict[str, str]
    language: str
    version: str
    primary: str
    metrics: dict[str, Figure]
    detail: Detail | None
    slices: tuple[Slice, ...]
    curve: tuple[Point, ...]
    mistakes: tuple[Mistake, ...]
    rungs: tuple[Step, ...]
    data: Data
    answers: Answered
    cost: Cost | None
    size_mb: float
    seconds: dict[str, float]
    machine: dict[str, str]
    trunks: tuple[TrunkCard, ...]
    verdict: Verdict
    resampled: str = "rows"  # what the intervals treat as independent: rows, groups, blocks
    columns: tuple[Brought, ...] = ()  # most first; () for a single column
    epochs: tuple[tuple[int, float, float | None], ...] = ()  # as in `types.Evidence`
    notes: tuple[tuple[str, dict[str, Any]], ...] = ()  # likewise
    tuned: Tuned | None = None  # likewise
    why: Why | None = None  # None where the owner wants no reasons, or no answer has any
    inside: Inside = Inside()  # empty where the owner wants no reasons, or it has no such network
    format: int = FORMAT

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: floats to six significant digits, no NaN, no Infinity."""
        return dict(_tidied(msgspec.to_builtins(self)))

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Raises BundleError for another format or for values that are no report."""
        if raw.get("format") != FORMAT:
            raise BundleError(
                "the report is of another format",
                found=repr(raw.get("format")),
                wanted=str(FORMAT),
                hint="train again, or read it with the version of Trunkline that wrote it",
            )
        try:
            return msgspec.convert(raw, cls)
        except msgspec.ValidationError as error:
            raise BundleError("the report can't be read", found=str(error)) from None

    @property
    def main(self) -> Figure:
        """The primary metric."""
        return self.metrics[self.primary]


def without_rows(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report's dict with everything taken out that a customer wrote: inputs of the mistakes, words,
    and values of the slices."""
    why = report.get("why")
    if why:
        worded = "text" in report["inputs"].values()  # its tree may ask for words
        why = {**why, "overall": [one for one in why["overall"] if one["kind"] == "column"]}
        why |= {"imitation": None} if worded else {}
    slices = [{**part, "value": f"#{at}"} for at, part in enumerate(report.get("slices", ()), start=1)]
    inside = {**report.get("inside", {}), "attention": []}
    return {**report, "mistakes": [], "slices": slices, "why": why, "inside": inside}


def tidy(number: float | None) -> float | None:
    """Six significant digits; None for what JSON can't say."""
    if number is None or not math.isfinite(number):
        return None
    return float(f"{number:.{DIGITS}g}")


def _tidied(value: Any) -> Any:
    if isinstance(value, float):
        return tidy(value)
    if isinstance(value, dict):
        return {key: _tidied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_tidied(item) for item in value]
    return value


def table(report: Report) -> Sequence[tuple[str, Figure]]:
    """Metrics with the primary one first, then in the task's order."""
    return sorted(report.metrics.items(), key=lambda item: item[0] != report.primary)
