"""The figures a gate may name, by name: from a finished proof, or listed before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trunkline.proof.details import ClassifyDetail, Detail, Figure, Interval, MultilabelDetail, SpansDetail
from trunkline.proof.gate import NOTHING_LIVE, known_figures
from trunkline.proof.report import Cost
from trunkline.spec import Spec
from trunkline.types import Examples, Refused, Task

UNKNOWN = Refused("undefined", "these rows can't give it")
NOT_TIMED = Refused("not_measured", "latency was not measured")

Found = dict[str, float | Refused]


def figures_before(spec: Spec, task: Task, train: Examples) -> list[str]:
    """What `check_rules` may know before training: figures this task, data and baselines will give."""
    per_label = ("precision", "recall", "f1")
    metrics, baselines = task.metrics(spec, train.labels), task.baselines(spec)
    return known_figures(list(metrics), list(baselines), train.labels, per_label)


def figures_of(
    metrics: Mapping[str, Figure],
    primary: str,
    detail: Detail | None,
    cost: Cost | None,
    size_mb: float,
    live: bool,
) -> Found:
    """Name -> value, or why there is none."""
    found: Found = {"size_mb": size_mb}
    for name, figure in metrics.items():
        _ends(found, name, figure.interval)
    for name, gain in metrics[primary].gains.items():
        _ends(found, f"gain.{name}", gain)
    if not live:
        found |= {f"gain.live{end}": NOTHING_LIVE for end in ("", ".low", ".high")}
    if isinstance(detail, ClassifyDetail | MultilabelDetail | SpansDetail):
        _labels(found, detail)
    for name in ("latency_p50_ms", "latency_p95_ms", "cost_per_1000"):
        found[name] = NOT_TIMED
    if cost is not None:
        found |= {
            "latency_p50_ms": cost.p50_ms,
            "latency_p95_ms": cost.p95_ms,
            "cost_per_1000": cost.per_1000,
        }
    return found


def _labels(found: Found, detail: ClassifyDetail | MultilabelDetail | SpansDetail) -> None:
    for row in detail.classes:
        for name, interval in (("precision", row.precision), ("recall", row.recall), ("f1", row.f1)):
            _ends(found, f"{name}[{row.label}]", interval)


def _ends(found: Found, name: str, interval: Interval) -> None:
    ends: Sequence[tuple[str, float | None]] = (
        ("", interval.value),
        (".low", interval.low),
        (".high", interval.high),
    )
    for end, value in ends:
        found[name + end] = UNKNOWN if value is None else value
