"""The gate's grammar, what it refuses before training, and what it says."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.proof import fakes

from trunkline.errors import SpecError
from trunkline.proof.figures import figures_before
from trunkline.proof.gate import NOTHING_LIVE, OPS, Rule, check_rules, judge, known_figures, parse_rule
from trunkline.spec import parse_spec
from trunkline.types import Refused

names = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
labels = st.text(min_size=1, max_size=12)
figures = st.one_of(
    names,
    st.builds("{}{}".format, names, st.sampled_from([".low", ".high"])),
    st.builds("gain.{}{}".format, names, st.sampled_from(["", ".low", ".high"])),
    st.builds("{}[{}]{}".format, names, labels, st.sampled_from(["", ".low", ".high"])),
)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(figures, st.sampled_from(sorted(OPS)), numbers)
def test_a_rule_reads_back_as_itself(figure: str, op: str, number: float) -> None:
    rule = Rule(figure, op, number)
    assert parse_rule(str(rule)) == rule
    assert parse_rule(f"  {figure}{op}{number!r} ") == rule


@given(st.text(max_size=40))
def test_any_text_is_a_rule_or_a_spec_error(text: str) -> None:
    with contextlib.suppress(SpecError):
        assert math.isfinite(parse_rule(text).number)


@pytest.mark.parametrize(
    "text", ["", "accuracy", "accuracy >=", ">= 0.8", "accuracy => 0.8", "accuracy >= high", "accuracy >= nan",
             "accuracy >= 1e999", "accuracy >= 0.8 and x > 1", "accuracy >= 80%"]
)  # fmt: skip
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="gate"):
        parse_rule(text)


def test_labels_with_brackets_dots_and_operators() -> None:
    assert parse_rule("recall[a ]>= b.low].low >= 0.5").figure == "recall[a ]>= b.low].low"
    assert parse_rule("召回[差评].low>0.5").figure == "召回[差评].low"


def test_an_unknown_figure_is_refused_with_the_nearest() -> None:
    known = known_figures(["accuracy", "macro_f1"], ["majority", "ngrams"], ["spam", "ham"])
    assert (
        len(
            check_rules(
                ["accuracy.low > 0.5", "gain.live >= 0", "recall[spam].high < 1", "size_mb < 1"], known
            )
        )
        == 4
    )
    with pytest.raises(SpecError, match=r"did you mean 'accuracy\.low'"):
        check_rules(["acuracy.low > 0.5"], known)
    with pytest.raises(SpecError, match=r"did you mean 'gain\.ngrams"):
        check_rules(["gain.ngram.low > 0.5"], known)
    with pytest.raises(SpecError, match=r"recall\[spam\]"):
        check_rules(["recall[spm] > 0.5"], known)


def test_figures_known_before_training_are_those_judged_after() -> None:
    evidence = fakes.banking()
    known = figures_before(evidence.spec, evidence.task, evidence.test)
    assert {"accuracy.low", "gain.ngrams", "f1[card_lost].high", "latency_p95_ms"} <= set(known)
    check_rules(evidence.spec.gate.rules, known)


def test_verdict_with_reasons_in_both_languages() -> None:
    found: dict[str, float | Refused] = {
        "accuracy": 0.9,
        "accuracy.low": 0.85,
        "latency_p95_ms": Refused("x", "latency was not measured"),
    }
    verdict = judge(["accuracy.low >= 0.85", "accuracy > 0.95", "latency_p95_ms <= 50"], found)
    assert not verdict.passed
    assert [r.passed for r in verdict.results] == [True, False, False]
    assert verdict.results[1].en == "accuracy is 0.9, but > 0.95 is wanted."
    assert "未达到" in verdict.results[1].zh
    assert "not measured" in verdict.results[2].en
    assert verdict.results[2].value is None


def test_a_value_close_to_its_bound_is_told_from_it() -> None:
    result = judge(["a >= 0.85"], {"a": 0.84999}).results[0]
    assert not result.passed
    assert "0.84999" in result.en


def test_nothing_live_passes_but_only_for_gain_live() -> None:
    verdict = judge(["gain.live.low > -0.01"], {"gain.live.low": NOTHING_LIVE})
    assert verdict.passed
    assert "nothing serves yet" in verdict.results[0].en
    assert judge(["gain.live > 0"], {}).passed
    assert not judge(["gain.live.low > -0.01"], {"gain.live.low": -0.2}).passed
    assert not judge(["accuracy > 0"], {"accuracy": math.nan}).passed


def test_a_figure_not_measured_fails_its_rule() -> None:
    result = judge(["gain.majority.low > 0"], {"accuracy": 0.9}).results[0]
    assert not result.passed
    assert "not measured" in result.en


def test_no_rules_pass() -> None:
    assert judge([], {}).passed
    assert parse_spec({"name": "a", "task": "classify", "label": "y", "inputs": {"x": "text"}}).gate.rules
