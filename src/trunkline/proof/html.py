"""The report as one offline page: no request leaves it, and nothing a customer wrote runs in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from trunkline.proof.advice import next_steps
from trunkline.proof.columns_section import columns_section
from trunkline.proof.inside_section import inside_section
from trunkline.proof.label_sections import detail_sections
from trunkline.proof.learned_section import learned_section
from trunkline.proof.messages import named, say
from trunkline.proof.numbers import DASH, bare, brief, change, percent, span, strongest
from trunkline.proof.report import Cost, Report, without_rows
from trunkline.proof.sections import (
    Section,
    answers_section,
    curve_section,
    data_section,
    figures_section,
    ladder_section,
    made_section,
    slices_section,
    verdict_section,
)
from trunkline.proof.sentence import clear, headline
from trunkline.proof.tuned_section import tuned_section
from trunkline.proof.why_section import why_section

if TYPE_CHECKING:
    from jinja2 import Template

JOIN = "\u2060"  # no line break at a dash between numbers
FIRST = 3  # mistakes on the first screen


def render_html(report: Report | Mapping[str, Any], language: str, *, with_rows: bool = True) -> str:
    """The whole page, under 1 MB. `report` may be the dict of report.json.

    with_rows=False leaves out what customers wrote (mistakes, values of slices). Raises BundleError
    for a dict that is no report.
    """
    raw = report.as_dict() if isinstance(report, Report) else report
    report = Report.from_dict(raw if with_rows else without_rows(raw))
    style, script = _part("report.css"), _part("report.js")
    return _template().render(
        r=report,
        lang=language,
        say=lambda key, **parts: say(key, language, **parts),
        headline=headline(report, language).replace(DASH, f"{JOIN}{DASH}{JOIN}"),
        reasons=_reasons(report, language),
        cards=_cards(report, language),
        worst=report.mistakes[:FIRST],
        mistakes=report.mistakes[FIRST:],
        surest="worst.title.regress"
        if report.mistakes and report.mistakes[0].probability is None
        else "worst.title",
        hidden=not with_rows,
        percent=percent,
        steps=next_steps(report, language, with_rows=with_rows),
        sections=_sections(report, language),
        style=style,
        script=script,
        style_hash=_digest(style),
        script_hash=_digest(script),
    )


def _sections(report: Report, language: str) -> list[Section]:
    found = (
        verdict_section(report, language),
        figures_section(report, language),
        *detail_sections(report, language),
        curve_section(report, language),
        learned_section(report, language),
        columns_section(report, language),
        why_section(report, language),
        inside_section(report, language),
        slices_section(report, language),
        ladder_section(report, language),
        tuned_section(report, language),
        answers_section(report, language),
        data_section(report, language),
        made_section(report, language),
    )
    return [section for section in found if section is not None]


def _reasons(report: Report, language: str) -> str:
    results = report.verdict.results
    if not results:
        return say("passed.none", language)
    key = "passed.why" if report.verdict.passed else "failed.why"
    return say(key, language, n=len(results), bad=sum(not r.passed for r in results))


class _Card(NamedTuple):
    """A card of the first screen; mood is gain, loss or empty."""

    name: str
    figure: str
    unit: str
    note: str
    mood: str = ""


def _cards(report: Report, language: str) -> list[_Card]:
    main = report.main
    note = say("card.n", language, span=span(main.interval, main.unit), n=f"{main.n:,}")
    name = named("metric", report.primary, language)
    cards = [_Card(name, bare(main.interval, main.unit), main.unit, note)]
    known = strongest(main)
    for name in main.gains:
        if name == "live" or (known and known[0] == name):
            cards.append(_gain_card(report, name, language))
    return [*cards, *_cost_cards(report.cost, language)]


def _gain_card(report: Report, name: str, language: str) -> _Card:
    main, gain = report.main, report.main.gains[name]
    sure = clear(gain)
    return _Card(
        say("card.gain", language, baseline=named("baseline", name, language)),
        change(gain, main.unit),
        say("card.points", language) if main.unit == "%" else main.unit,
        say("card.paired", language, span=span(gain, main.unit)),
        "" if sure is None else "gain" if sure else "loss",
    )


def _cost_cards(cost: Cost | None, language: str) -> list[_Card]:
    names = [say(key, language) for key in ("card.latency", "card.cost")]
    if cost is None:
        return [_Card(name, "–", "", say("card.unmeasured", language)) for name in names]
    latency = say("card.latency.note", language, p95=brief(cost.p95_ms))
    price = say(
        "card.cost.note",
        language,
        cpu=brief(cost.cpu_ms),
        price=f"{cost.core_hour_price:g}",
        currency=cost.currency,
    )
    return [
        _Card(names[0], brief(cost.p50_ms), "ms", latency),
        _Card(names[1], brief(cost.per_1000, 2), cost.currency, price),
    ]


def _digest(text: str) -> str:
    """For the Content-Security-Policy: only this very style and script may be used."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _part(name: str) -> str:
    return files("trunkline.proof").joinpath("templates", name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    env = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    return env.from_string(_part("report.html"))
