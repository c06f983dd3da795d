"""Sentences, numbers, advice and the model card."""

from __future__ import annotations

import json

import pytest
from tests.proof import fakes

from trunkline.proof import headline, prove, render_card
from trunkline.proof.advice import next_steps
from trunkline.proof.details import Interval
from trunkline.proof.numbers import amount, brief, percent, signed, span, whole


def test_numbers_are_rounded_to_what_the_interval_allows() -> None:
    assert whole(Interval(0.94237, 0.9312, 0.9541, 1000), "%") == "94.2 % (93.1–95.4)"
    assert whole(Interval(0.9, 0.7, 0.97, 20), "%") == "90 % (70–97)"
    assert whole(Interval(0.99961, 0.9994, 0.9997, 9), "") == "0.99961 (0.99940–0.99970)"
    assert whole(Interval(25412.0, 22000.0, 28000.0, 9), "") == "25,412 (22,000–28,000)"
    assert whole(Interval(None, None, None, 0), "%") == "–"
    assert amount(Interval(1e-16, 0.0, 2e-16, 9), "%") == "0 %"
    assert signed(Interval(0.031, 0.019, 0.042, 9), "%") == "+3.1 (1.9–4.2)"
    assert signed(Interval(-0.004, -0.012, 0.004, 9), "%") == "−0.4 (−1.2 … 0.4)"
    assert span(Interval(-0.04, -0.08, -0.0006, 9), "%") == "−8.0 … −0.1"  # the sign stays visible


def test_plain_numbers() -> None:
    assert [brief(x) for x in (0, 8.4, 12.93, 1234567.0, 0.000123456, -3.0)] == [
        "0", "8.4", "12.9", "1,234,567", "0.000123", "−3",
    ]  # fmt: skip
    assert brief(float("nan")) == "–"
    assert [percent(x) for x in (0, 0.004, 0.5, 1)] == ["0 %", "0.4 %", "50 %", "100 %"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_headlines(language: str) -> None:
    said = {name: headline(fakes.proven(name), language) for name, make in fakes.ALL.items()}
    en = {
        "banking": "Support intents: 95 of 100 right (94.2–96.3), 6.6 more than word counts alone.",
        "tiny": "tiny: 100 of 100 right (84–100), measured on 20 rows, 50 more than always saying the commonest.",
    }
    zh = {
        "banking": "Support intents：100 条答对 95 条（94.2–96.3），比只数词频多 6.6 条。",
        "tiny": "tiny：100 条答对 100 条（84–100，仅 20 行），比一律回答最常见的答案多 50 条。",
    }
    for name, sentence in (en if language == "en" else zh).items():
        assert said[name] == sentence
    assert all("None" not in s and "nan" not in s for s in said.values())


def test_an_unclear_gain_is_called_unclear() -> None:
    evidence = fakes.hotels()
    same = {"ngrams": evidence.prediction}
    from dataclasses import replace

    report = prove(replace(evidence, baselines=same))
    assert headline(report, "en").endswith("no clear gain over word counts alone.")
    assert headline(report, "zh").endswith("没有明显差别。")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_advice_starts_with_the_failed_rule_and_is_short(language: str) -> None:
    report = fakes.proven("banking")
    steps = next_steps(report, language)
    assert "recall[card_arrival].low" in steps[0]
    assert 1 <= len(steps) <= 4
    assert any("card_lost" in step for step in steps)
    for name in fakes.ALL:
        assert next_steps(fakes.proven(name), language)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_cards_have_front_matter_and_no_rows(language: str) -> None:
    for name in fakes.ALL:
        report = fakes.proven(name)
        text = render_card(report, language)
        _, front, body = text.split("---\n", 2)
        values = {
            key: json.loads(value) for key, _, value in (line.partition(": ") for line in front.splitlines())
        }
        result = values["model-index"][0]["results"][0]
        assert values["model-index"][0]["name"] == report.product
        assert result["metrics"][0]["type"] == report.primary
        assert result["metrics"][0]["value"] == report.main.value
        assert values["library_name"] == "trunkline"
        assert "MIT" in body
        english, chinese = body.index("## What it does"), body.index("## 用途")
        assert (english < chinese) == (language == "en")
        for mistake in report.mistakes:
            assert mistake.inputs["text"] not in text


def test_card_escapes_markdown_in_names() -> None:
    from dataclasses import replace

    import msgspec

    evidence = fakes.tiny()
    spec = msgspec.structs.replace(evidence.spec, title="<b>[x](http://y)</b> | z")
    body = render_card(prove(replace(evidence, spec=spec)), "en").split("---\n", 2)[2]
    assert "<b>" not in body.replace("\\<", "")
    assert "[x](" not in body
