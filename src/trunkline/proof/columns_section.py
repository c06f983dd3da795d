"""The fold of the page that shows what each input column brings."""

from __future__ import annotations

from trunkline.proof.charts import dot_chart
from trunkline.proof.messages import named, say
from trunkline.proof.numbers import brief, change, signed
from trunkline.proof.report import Brought, Report
from trunkline.proof.sections import Chart, Section, Table, dot_of
from trunkline.proof.sentence import clear

SHOWN = 24


def columns_section(report: Report, language: str) -> Section | None:
    if not report.columns:
        return None
    unit, metric = report.main.unit, named("metric", report.primary, language)
    first = report.columns[0]
    points = f" {say('card.points', language)}" if unit == "%" else ""
    key = "columns.title.none" if not clear(first.gain) else "columns.title" if first.method else "columns.title.swapped"
    heading = say(key, language, column=first.column, gain=f"{change(first.gain, unit)}{points}")
    dots = [
        dot_of(one.column, one.gain, unit, change(one.gain, unit), bool(clear(one.gain)))
        for one in report.columns[:SHOWN]
        if one.gain.value is not None
    ]
    rows = tuple((one.column, one.kind, signed(one.gain, unit), _how(one, language)) for one in report.columns)
    names = tuple(say(key, language) for key in ("column", "kind", "gain", "columns.how"))
    hows = dict.fromkeys("columns.note.swapped" if not one.method else "columns.note.refitted" for one in report.columns)
    notes = tuple(say(key, language, n=f"{first.gain.n:,}") for key in (*hows, "columns.note"))
    svg = dot_chart(dots, heading, brief, 0.0)
    sub = "columns.sub.mixed" if len(hows) > 1 else "columns.sub" if first.method else "columns.sub.swapped"
    return Section("columns", heading, (Chart("", say(sub, language, metric=metric), svg, Table(names, rows), notes),))


def _how(one: Brought, language: str) -> str:
    return say("columns.refitted", language, method=one.method) if one.method else say("columns.swapped", language)
