"""The report: what the proof found, as plain frozen values that go to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import msgspec
from msgspec import Struct

from trunkline.errors import BundleError
from trunkline.proof.details import Detail, Figure, Interval, tidy
from trunkline.proof.explained import Inside, Mistake, Why
from trunkline.proof.gate import Verdict
from trunkline.proof.tuned import Tuned

FORMAT = 1


class Slice(Struct, frozen=True):
    """The primary metric on the rows where column = value; differs: its interval excludes the
    figure of all rows."""

    column: str
    value: str
    estimate: Interval
    differs: bool


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
