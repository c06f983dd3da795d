"""Reports from evidence: complete, JSON-ready, reproducible, right where the truth is known."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from tests.proof import fakes

from trunkline import metrics as m
from trunkline.errors import BundleError, SpecError
from trunkline.proof import Report, prove, without_rows
from trunkline.proof.classify import similar_order
from trunkline.proof.details import ClassifyDetail, MultilabelDetail, RegressDetail
from trunkline.proof.prove import language_of
from trunkline.proof.slices import parts
from trunkline.types import Answer, Decision, Metric, Prediction

REPORTS = {name: fakes.proven(name) for name in fakes.ALL}


@pytest.mark.parametrize("name", fakes.ALL)
def test_reports_survive_json(name: str) -> None:
    raw = REPORTS[name].as_dict()
    text = json.dumps(raw, allow_nan=False)
    assert Report.from_dict(json.loads(text)).as_dict() == raw
    assert orjson.loads(orjson.dumps(raw)) == json.loads(text)
    assert raw["format"] == 1
    main = raw["metrics"][raw["primary"]]
    assert main["low"] <= main["value"] <= main["high"]


@pytest.mark.parametrize("name", ["banking", "prices", "hotels"])
def test_the_same_evidence_gives_the_same_report(name: str) -> None:
    assert prove(fakes.ALL[name]()).as_dict() == REPORTS[name].as_dict()


def test_banking() -> None:
    report, evidence = REPORTS["banking"], fakes.banking()
    target, values = evidence.test.target, evidence.prediction.values
    accuracy = report.metrics["accuracy"]
    assert accuracy.value == pytest.approx(m.accuracy(target, values), abs=1e-6)
    gain = m.accuracy(target, values) - m.accuracy(target, evidence.baselines["ngrams"].values)
    assert accuracy.gains["ngrams"].value == pytest.approx(gain, rel=1e-4)
    detail = report.detail
    assert isinstance(detail, ClassifyDetail)
    assert len(detail.classes) == 77
    assert detail.confusion is None
    assert (detail.pairs[0].truth, detail.pairs[0].answer) == ("card_arrival", "card_lost")
    assert not report.verdict.passed
    assert [r.passed for r in report.verdict.results] == [True, True, True, False]
    assert [p.extrapolated for p in report.curve] == [False] * 5 + [True] * 2
    sure = [mistake.probability for mistake in report.mistakes]
    assert sure == sorted(sure, reverse=True, key=lambda p: p or 0.0)
    assert all(mistake.truth != mistake.answer for mistake in report.mistakes)
    first = report.mistakes[0]
    assert str(first.row - 100) in first.inputs["text"]  # the row's own number
    assert {part.column for part in report.slices} == {"channel", "length"}


def test_answers_count_only_what_was_answered() -> None:
    report, evidence = REPORTS["banking"], fakes.banking()
    ok = np.array([a.status == "ok" for a in evidence.answers])
    hits = (evidence.prediction.values.argmax(axis=1) == evidence.test.target)[ok]
    assert report.answers.right is not None
    assert report.answers.right.value == pytest.approx(hits.mean(), abs=1e-5)
    assert report.answers.ok == pytest.approx(ok.mean())
    assert report.answers.out_of_scope == pytest.approx(1 / len(ok))


def test_groups_widen_and_language_follows_the_rows() -> None:
    report = REPORTS["hotels"]
    assert report.resampled == "groups"
    assert report.language == "zh"
    detail = report.detail
    assert isinstance(detail, ClassifyDetail)
    assert detail.confusion is not None
    assert sum(map(sum, detail.confusion)) == 600


def test_costs_decide_the_labels_said() -> None:
    report = REPORTS["credit"]
    detail = report.detail
    assert isinstance(detail, ClassifyDetail)
    said = {row.label: row.said for row in detail.classes}
    plain = fakes.credit().prediction.values.argmax(axis=1)
    assert said["bad"] > (plain == 1).sum()
    assert report.metrics["expected_cost"].gains["majority"].value > 0  # type: ignore[operator]
    assert report.resampled == "blocks"


def test_multilabel_uses_the_answers_given() -> None:
    evidence = fakes.topics()
    silent = replace(evidence, answers=[Answer("ok", {"labels": []}) for _ in evidence.answers])
    detail = prove(silent).detail
    assert isinstance(detail, MultilabelDetail)
    assert detail.said_per_row == 0
    assert REPORTS["topics"].detail.said_per_row > 1  # type: ignore[union-attr]
    assert not REPORTS["topics"].verdict.passed


def test_values_beside_thresholds_are_no_promises() -> None:
    evidence = replace(fakes.topics(), decision=Decision(thresholds=(0.3,) * 6))
    detail = prove(evidence).detail
    assert isinstance(detail, MultilabelDetail)
    assert detail.bins == ()
    assert REPORTS["topics"].detail.bins  # type: ignore[union-attr]


def test_rows_out_of_scope_count_as_what_would_have_been_said() -> None:
    evidence = fakes.topics()
    outside = replace(evidence, answers=[Answer("out_of_scope", {"labels": []})] * 400)
    report = prove(outside)
    assert report.detail == REPORTS["topics"].detail
    assert report.answers.right is None


def test_regress_coverage_and_worst_rows() -> None:
    detail, evidence = REPORTS["prices"].detail, fakes.prices()
    assert isinstance(detail, RegressDetail)
    off = np.abs(evidence.test.target - evidence.prediction.values)
    assert detail.coverage is not None
    assert detail.coverage.value == pytest.approx((off <= 60).mean(), abs=1e-5)
    assert REPORTS["prices"].mistakes[0].row == 100 + off.argmax()
    bare = prove(replace(evidence, answers=[Answer("ok", {"value": 1.0})] * 300)).detail
    assert isinstance(bare, RegressDetail)
    assert bare.coverage is None


def test_twenty_right_rows_do_not_pass_a_gate_of_ninety() -> None:
    report = REPORTS["tiny"]
    assert report.main.value == 1.0
    assert report.main.low is not None
    assert report.main.low < 0.9
    assert not report.verdict.passed


def test_a_figure_that_cannot_be_computed_says_so() -> None:
    evidence = fakes.tiny()
    one = replace(evidence, test=evidence.test.take(list(range(0, 20, 2))), prediction=Prediction(evidence.prediction.values[::2]),
                  baselines={}, answers=[Answer("ok")] * 10)  # fmt: skip
    report = prove(one)
    assert report.metrics["auroc"].value is None
    assert report.metrics["auroc"].reason


def test_live_gain_is_judged_where_something_is_live() -> None:
    evidence = fakes.hotels()
    better = np.eye(2)[evidence.test.target] * 0.9 + 0.05
    report = prove(replace(evidence, live=Prediction(better)))
    rule = report.verdict.results[1]
    assert rule.value is not None
    assert not rule.passed
    assert REPORTS["hotels"].verdict.results[1].passed


def test_a_task_of_another_shape_gets_a_report_without_detail() -> None:
    evidence = fakes.prices()
    metric = Metric("one", True, lambda t, v: 0.5, lambda t, v: np.full(len(t), 0.5))
    test = replace(evidence.test, target=np.array([["a", "b"]] * 300, dtype=object))
    odd = replace(evidence, test=test, task=fakes.FakeTask("one", {"one": metric}))  # type: ignore[arg-type]
    odd = replace(odd, spec=replace_rules(odd.spec, []))
    report = prove(odd)
    assert report.detail is None
    assert report.main.value == 0.5


def replace_rules(spec: Any, rules: list[str]) -> Any:
    import msgspec

    return msgspec.structs.replace(spec, gate=msgspec.structs.replace(spec.gate, rules=rules))


def test_unknown_slice_column_is_a_spec_error() -> None:
    evidence = fakes.banking()
    import msgspec

    proof = msgspec.structs.replace(evidence.spec.proof, slices=["chanel"])
    with pytest.raises(SpecError, match="did you mean 'channel'"):
        prove(replace(evidence, spec=msgspec.structs.replace(evidence.spec, proof=proof)))


def test_slices_of_numbers_are_quarters_and_of_words_their_values() -> None:
    numbers = parts([str(i) for i in range(100)])
    assert [mask.sum() for _, mask in numbers] == [25, 25, 25, 25]
    words = parts(["a"] * 50 + ["b"] * 10 + ["c"] * 2 + [None] * 6)
    assert [(name, mask.sum()) for name, mask in words] == [("a", 50), ("b", 10), ("∅", 6)]
    assert parts([f"word{i}" for i in range(40)]) == []


def test_confused_labels_stand_together() -> None:
    cells = np.diag([9, 9, 9, 9, 9])
    cells[0, 3] = cells[3, 0] = 5
    order = similar_order(cells).tolist()
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert abs(order.index(0) - order.index(3)) == 1


def test_language_of_rows() -> None:
    assert language_of([{"a": "房间很干净", "b": 3}]) == "zh"
    assert language_of([{"a": 1.0}]) == "en"


def test_foreign_reports_are_refused() -> None:
    with pytest.raises(BundleError, match="another format"):
        Report.from_dict({"format": 99})
    with pytest.raises(BundleError, match="can't be read"):
        Report.from_dict({**REPORTS["tiny"].as_dict(), "metrics": 3})


def test_without_rows_holds_nothing_a_customer_wrote() -> None:
    for name in ("banking", "hotels"):
        text = json.dumps(without_rows(REPORTS[name].as_dict()), ensure_ascii=False)
        for word in ("charged", "房间", "隔音", "email", "SECRET"):
            assert word not in text
        assert Report.from_dict(json.loads(text)).mistakes == ()


def test_cost_is_core_time_times_price() -> None:
    cost = REPORTS["banking"].cost
    assert cost is not None
    assert cost.per_1000 == pytest.approx(15.2 / 3.6e6 * 1000 * 0.04)
    bare = prove(replace(fakes.tiny(), latency=None))
    assert bare.cost is None
