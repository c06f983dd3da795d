"""Evidence -> Report: every figure with its interval, its baselines and what it means for the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.engines.threads import run_all
from trunkline.proof import answers, classify, multilabel, regress, spans
from trunkline.proof.columns import brought
from trunkline.proof.details import Detail, Figure, Interval, tidy
from trunkline.proof.explained import Mistake
from trunkline.proof.figures import figures_of
from trunkline.proof.gate import RuleResult, Verdict, judge
from trunkline.proof.intervals import Drawn, difference, draw, interval
from trunkline.proof.learning import extrapolate
from trunkline.proof.proportion import proportion
from trunkline.proof.report import Answered, Cost, Data, Fault, Point, Report, Step, TrunkCard
from trunkline.proof.resample import Resample
from trunkline.proof.slices import slices
from trunkline.types import CurvePoint, Estimate, Evidence, Metric, Rung

LIVE = "live"
MORE_ROWS = 1_000
CHINESE_SHARE = 0.2  # of the letters in the inputs, from which `auto` writes Chinese


def prove(evidence: Evidence) -> Report:
    """The report with its verdict. Raises SpecError for gate rules or slices that name nothing."""
    spec, test = evidence.spec, evidence.test
    resample = Resample(len(test), test.groups, test.times, spec.seed)
    metrics = evidence.task.metrics(spec, test.labels)
    primary = evidence.task.primary(spec)
    found = run_all(lambda metric: _figure(metric, evidence, resample), metrics.values())
    proven = dict(zip(metrics, found, strict=True))
    kind = _part(test.target, test.labels)
    cost = _cost(evidence)
    detail: Detail | None = kind.detail(evidence, resample.units) if kind else None
    size_mb = evidence.size_bytes / 1e6
    figures = figures_of(proven, primary, detail, cost, size_mb, evidence.live is not None)
    return Report(
        product=spec.name,
        title=spec.title or spec.name,
        task=spec.task,
        label=spec.label,
        inputs=dict(spec.inputs),
        language=_language(evidence),
        version=evidence.version,
        primary=primary,
        metrics=proven,
        detail=detail,
        slices=slices(evidence, metrics[primary]),
        curve=_curve(evidence, metrics[primary]),
        mistakes=kind.mistakes(evidence) if kind else (),
        rungs=tuple(_step(rung) for rung in evidence.rungs),
        data=_data(evidence),
        answers=_answered(evidence, kind, resample.units),
        cost=cost,
        size_mb=size_mb,
        seconds=dict(evidence.seconds),
        machine=dict(evidence.machine),
        trunks=_trunks(evidence),
        verdict=_verdict(evidence, judge(spec.gate.rules, figures)),
        columns=brought(evidence, metrics[primary]),
        epochs=tuple(evidence.epochs),
        notes=tuple((key, dict(values)) for key, values in evidence.notes),
        tuned=evidence.tuned,
        resampled="rows" if resample.units is None else "groups" if test.groups is not None else "blocks",
    )


def _verdict(evidence: Evidence, verdict: Verdict) -> Verdict:
    """A product that answers none of the test rows fails, whatever its rules say."""
    if not evidence.answers or any(answer.status == "ok" for answer in evidence.answers):
        return verdict
    silent = RuleResult(
        "answered > 0",
        0.0,
        False,
        "No test row was answered: all were abstained from or out of scope.",
        "没有一条测试数据得到回答：全部弃答或超出范围。",
    )
    return Verdict(False, (silent, *verdict.results))


class _Part:
    """What a shape of target adds to the report: one label, any labels, a number."""

    def __init__(
        self,
        detail: Callable[..., Detail],
        mistakes: Callable[[Evidence], tuple[Mistake, ...]],
        right: Callable[[Evidence], NDArray[np.float64]] | None,
    ) -> None:
        self.detail, self.mistakes, self.right = detail, mistakes, right


def _part(target: NDArray[Any], labels: Sequence[str]) -> _Part | None:
    """By the target's shape, so that a task of a stranger's package gets its part too."""
    if target.dtype == object and all(isinstance(row, tuple) for row in target):
        kind = spans if labels else answers  # spans of no type
        return _Part(kind.detail, kind.mistakes, kind.right_rows)
    if target.ndim == 2 and target.dtype == bool:
        return _Part(multilabel.detail, multilabel.mistakes, multilabel.right_rows)
    if target.ndim == 1 and target.dtype.kind in "iu":
        return _Part(classify.detail, classify.mistakes, classify.right_rows)
    if target.ndim == 1 and target.dtype.kind == "f":
        return _Part(regress.detail, regress.mistakes, None)
    return None


def _figure(metric: Metric, evidence: Evidence, resample: Resample) -> Figure:
    target = evidence.test.target
    own = draw(metric, target, evidence.prediction.values, resample)
    others = {name: draw(metric, target, p.values, resample) for name, p in evidence.baselines.items()}
    baselines = {name: Interval.of(interval(drawn, resample)) for name, drawn in others.items()}
    if evidence.live is not None:
        others[LIVE] = draw(metric, target, evidence.live.values, resample)
    gains = {name: Interval.of(_gain(metric, own, drawn, resample)) for name, drawn in others.items()}
    found = Interval.of(interval(own, resample))
    reason = "" if found.value is not None else "these rows can't give it (one class only, or no rows)"
    return Figure(
        found.value,
        found.low,
        found.high,
        found.n,
        metric.unit,
        metric.higher_is_better,
        baselines,
        gains,
        reason,
    )


def _gain(metric: Metric, own: Drawn, other: Drawn, resample: Resample) -> Estimate:
    """Signed so that more is better."""
    if metric.higher_is_better:
        return difference(own, other, resample)
    return difference(other, own, resample)


def _cost(evidence: Evidence) -> Cost | None:
    latency, proof = evidence.latency, evidence.spec.proof
    if latency is None:
        return None
    cpu_ms = latency.p50_ms if latency.cpu_ms is None else latency.cpu_ms
    per_1000 = cpu_ms / 3_600_000 * 1_000 * proof.core_hour_price
    return Cost(
        latency.p50_ms,
        latency.p95_ms,
        latency.rows_per_s,
        latency.n,
        cpu_ms,
        per_1000,
        proof.core_hour_price,
        proof.currency,
    )


def _curve(evidence: Evidence, metric: Metric) -> tuple[Point, ...]:
    largest = max((p.rows for p in evidence.curve), default=0)
    more = (MORE_ROWS, largest) if largest > 2 * MORE_ROWS else (MORE_ROWS,)
    ahead = extrapolate(evidence.curve, more, evidence.spec.seed)
    if metric.unit == "%":
        ahead = [_within_one(point) for point in ahead]
    return tuple(Point(p.rows, Interval.of(p.value), p.extrapolated) for p in (*evidence.curve, *ahead))


def _within_one(point: CurvePoint) -> CurvePoint:
    """A power law knows no bounds; a share does."""
    value, low, high = (min(1.0, max(0.0, x)) for x in (point.value.value, point.value.low, point.value.high))
    return CurvePoint(point.rows, Estimate(value, low, high, point.value.n), point.extrapolated)


def _step(rung: Rung) -> Step:
    return Step(
        rung.method,
        rung.metric,
        Interval.of(rung.value),
        None if rung.gain is None else Interval.of(rung.gain),
        rung.seconds,
        rung.size_bytes,
        rung.kept,
        rung.note,
    )


def _data(evidence: Evidence) -> Data:
    data = evidence.data
    faults = (
        Fault(f.check, f.severity, tidy(f.score) or 0.0, f.count, f.message, f.message_zh, f.fix)
        for f in data.findings
    )
    return Data(dict(data.rows), dict(data.labels), tuple(faults), data.source, data.digest)


def _answered(evidence: Evidence, kind: _Part | None, units: NDArray[np.int64] | None) -> Answered:
    status = np.array([answer.status for answer in evidence.answers], dtype=object)
    n = len(status)
    ok = status == "ok"
    right = None
    if kind is not None and kind.right is not None and ok.any():
        hits = kind.right(evidence)
        right = Interval.of(proportion(hits[ok], None if units is None else units[ok]))

    def share(name: str) -> float:
        return float((status == name).sum()) / n if n else 0.0

    return Answered(n, share("ok"), share("abstained"), share("out_of_scope"), right)


def _trunks(evidence: Evidence) -> tuple[TrunkCard, ...]:
    return tuple(
        TrunkCard(c.id, c.licence, c.source, c.fingerprint, c.dim, tuple(c.languages))
        for c in evidence.trunks
    )


def _language(evidence: Evidence) -> str:
    wanted = evidence.spec.proof.language
    return wanted if wanted != "auto" else language_of(evidence.test.inputs[:500])


def language_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """zh where at least a fifth of the letters are Chinese, else en."""
    letters = [
        c for row in rows for cell in row.values() if isinstance(cell, str) for c in cell if c.isalpha()
    ]
    chinese = sum("\u4e00" <= c <= "\u9fff" or "\u3400" <= c <= "\u4dbf" for c in letters)
    return "zh" if letters and chinese / len(letters) >= CHINESE_SHARE else "en"
