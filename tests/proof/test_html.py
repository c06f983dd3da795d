"""The page: one offline file in two languages, with customers' words as words."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest
from tests.proof import fakes

from trunkline.proof import Report, prove, render_html
from trunkline.proof.messages import WORDS, named, say
from trunkline.types import Evidence, Prediction, Without

EVIL = '<script>alert("x")</script>'
VOID = {"meta", "link", "br", "img", "input"}


class Page(HTMLParser):
    """Counts tags and checks that they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def evil() -> Evidence:
    base = fakes.hotels(n=120)
    labels = (EVIL, 'b"onload="x')
    inputs = [{"text": f"{EVIL} {i}"} for i in range(120)]
    columns = {EVIL: [EVIL if i % 2 else "]]>" for i in range(120)]}
    proof = msgspec.structs.replace(base.spec.proof, slices=[EVIL])
    spec = msgspec.structs.replace(base.spec, title=EVIL, proof=proof)
    return replace(base, spec=spec, test=replace(base.test, labels=labels, inputs=inputs, columns=columns))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("name", fakes.ALL)
def test_pages_are_whole_offline_and_small(name: str, language: str) -> None:
    report = fakes.proven(name)
    text = render_html(report, language)
    assert render_html(report.as_dict(), language) == text
    assert len(text.encode()) < 1_000_000
    page = Page(text)
    assert page.open == []
    assert not {"link", "img", "iframe", "object", "form", "base"} & set(page.tags)
    assert not any(name in ("src", "href", "style") or name.startswith("on") for name, _ in page.attributes)
    assert "http://" not in text
    assert "https://" not in text
    assert f'<html lang="{language}">' in text
    assert "None" not in re.sub(r"<script>.*?</script>|'none'", "", text, flags=re.DOTALL)
    assert "nan" not in re.findall(r">[^<]*\bnan\b", text)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_chart_has_a_text_and_a_table(language: str) -> None:
    for name in fakes.ALL:
        text = render_html(fakes.proven(name), language)
        for figure in re.findall(r"<figure>.*?</figure>", text, re.DOTALL):
            if "<svg" in figure:
                assert re.search(r'<svg[^>]* role="img" aria-label="[^"]+"', figure)
                assert "<details><summary>" in figure
            assert "<table>" in figure


def test_what_customers_wrote_never_runs() -> None:
    for language in ("en", "zh"):
        text = render_html(prove(evil()), language)
        page = Page(text)
        assert page.tags.count("script") == 1
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text
        assert not any(name == "onload" for name, _ in page.attributes)


def test_the_policy_names_the_one_script_and_style() -> None:
    text = render_html(fakes.proven("tiny"), "en")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert policy[1].count("sha256-") == 2
    assert "unsafe" not in policy[1]


def test_rows_are_left_out_when_asked() -> None:
    for report in (fakes.proven("banking"), fakes.proven("hotels"), prove(evil())):
        text = render_html(report, "en", with_rows=False)
        for mistake in report.mistakes:
            assert mistake.inputs["text"][:20] not in text
        assert "email" not in text
        assert say("worst.hidden", "en") in text


def test_every_word_has_both_languages_with_the_same_parts() -> None:
    for key, (en, zh) in WORDS.items():
        assert en, key
        assert zh, key
        assert set(re.findall(r"{(\w+)}", en)) == set(re.findall(r"{(\w+)}", zh)), key


def test_chinese_pages_speak_chinese() -> None:
    text = render_html(fakes.proven("hotels"), "zh")
    for word in ("通过", "下一步", "准确率", "区间"):
        assert word in text
    assert "What to do next" not in text


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_colours_reach_aa_contrast_in_light_and_dark() -> None:
    text = render_html(fakes.proven("tiny"), "en")
    blocks = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r"{[^{}]*--ink[^{}]*}", text)
    ]
    blocks = [block for block in blocks if "ink" in block]
    assert len(blocks) == 3
    for block in blocks:
        pairs = [
            (fore, back) for fore in ("ink", "soft", "accent", "context") for back in ("paper", "raised")
        ]
        pairs += [("pass", "pass-back"), ("fail", "fail-back"), ("warn", "warn-back"), ("fail", "paper")]
        for fore, back in pairs:
            light, dark = sorted((luminance(block[fore]), luminance(block[back])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (fore, back)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_each_column_brings_is_said_with_how_it_was_found(language: str) -> None:
    base = fakes.banking(n=200, classes=4)
    every = np.arange(200, dtype=np.int64)
    worse = Prediction(np.roll(base.prediction.values, 1, axis=0))
    spec = msgspec.structs.replace(base.spec, inputs={"text": "text", "noise": "number"})
    without = (Without("noise", "", base.prediction, every), Without("text", "linear", worse, every))
    report = prove(replace(base, spec=spec, without=without))
    assert [(one.column, one.kind, one.method) for one in report.columns] == [("text", "text", "linear"), ("noise", "number", "")]
    assert Report.from_dict(report.as_dict()).columns[0].column == "text"
    page = unescape(render_html(report, language))
    for said in ("columns.note.refitted", "columns.note.swapped", "columns.swapped"):
        assert say(said, language) in page
    assert ("“text” brings the most: +" if language == "en" else "“text”贡献最大：+") in page
    metric = named("metric", report.primary, language)
    assert say("columns.sub.mixed", language, metric=metric) in page
    for how, sub in (("", "columns.sub.swapped"), ("linear", "columns.sub")):
        one = prove(replace(base, spec=spec, without=[replace(each, method=how) for each in without]))
        page = unescape(render_html(one, language))
        assert say(sub, language, metric=metric) in page
        assert ("leans most on" in page or "最依赖" in page) == (how == "")
    none = prove(replace(base, spec=spec, without=without[:1]))
    assert say("columns.title.none", language) in render_html(none, language)


@pytest.mark.parametrize("count", [1, 4])
def test_what_went_otherwise_while_learning_is_told_in_the_readers_language(count: int) -> None:
    epochs = [(at + 1, 1 / (at + 1), None) for at in range(count)]
    notes = [("halved", {"step": 3, "rows": 64, "parts": 2}), ("unscoped", {}), ("diverged", {"step": 70, "kept": 60}), ("resumed", {"step": 9})]
    report = prove(replace(fakes.hotels(n=120), epochs=epochs, notes=notes))
    english, chinese = (unescape(render_html(report.as_dict(), language)) for language in ("en", "zh"))
    assert "a batch of 64 rows was too large for memory; it went through in 2 parts" in english
    assert "no number at step 70; learning stopped, with the weights of step 60" in english
    assert "64 行的批次超出内存，分 2 份处理" in chinese
    assert "out_of_scope is never answered" in english
    assert "从不回答 out_of_scope" in chinese
    assert "从第 9 步继续" in chinese
    assert "learned" not in render_html(prove(replace(fakes.hotels(n=120), epochs=epochs[:1])), "en")
