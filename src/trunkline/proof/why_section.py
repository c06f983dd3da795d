"""The fold of the page that shows what the product looks at, and whether its reasons are the real ones."""

from __future__ import annotations

from trunkline.proof.charts import dot_chart
from trunkline.proof.charts.dots import Dot
from trunkline.proof.charts.svg import Svg
from trunkline.proof.details import Interval
from trunkline.proof.explained import Faithful, Imitation, Leaning
from trunkline.proof.messages import say
from trunkline.proof.numbers import brief, change, percent, whole
from trunkline.proof.report import Report
from trunkline.proof.sections import Chart, Section, Table, dot_of


def why_section(report: Report, language: str) -> Section | None:
    why = report.why
    if why is None or (why.faithful is None and not why.overall and why.imitation is None):
        return None
    charts = []
    if why.faithful is not None:
        charts.append(_faithful(why.faithful, language))
    if why.overall:
        charts.append(_overall(why.overall, language))
    if why.imitation is not None:
        charts.append(_tree(why.imitation, language))
    names = [one.name for one in why.overall[:3]]
    heading = say("why.title", language, names=("、" if language == "zh" else ", ").join(names)) if names else say("why.title.none", language)
    return Section("why", heading, tuple(charts))


def _faithful(found: Faithful, language: str) -> Chart:
    heading = say("why.faithful", language, n=found.removed, ratio=times(found.ratio))
    drops = [("why.top", found.top), ("why.random", found.random)]
    dots = [dot_of(say(key, language, n=found.removed), one, found.unit, change(one, found.unit), key == "why.top") for key, one in drops]
    rows = [(say(key, language, n=found.removed), whole(one, found.unit)) for key, one in drops]
    rows += [(say("why.difference", language), whole(found.difference, found.unit)), (say("why.ratio", language), whole(found.ratio, ""))]
    note = say("why.faithful.note", language, rows=f"{found.top.n:,}")
    return Chart(heading, say("why.faithful.sub", language), dot_chart(dots, heading, brief, 0.0), Table(("", ""), tuple(rows)), (note,))


def times(ratio: Interval) -> str:
    return "–" if ratio.value is None else f"{ratio.value:.1f}"


def _overall(found: tuple[Leaning, ...], language: str) -> Chart:
    columns = tuple(say(key, language) for key in ("why.part", "label", "why.weight", "rows"))
    rows = tuple((one.name, one.label, f"{one.weight:+.3f}", f"{one.rows:,}") for one in found)
    dots = [Dot(f"{one.name} → {one.label}" if one.label else one.name, one.weight, None, None, f"{one.weight:.2f}", True) for one in found[:12]]
    svg = dot_chart(dots, say("why.overall", language), brief, 0.0) if dots else Svg("")
    return Chart(say("why.overall", language), say("why.overall.sub", language), svg, Table(columns, rows))


def _tree(found: Imitation, language: str) -> Chart:
    """Indented questions, an answer at each end."""
    heading = say("why.tree", language, share=whole(found.fidelity, "%"))
    note = say("why.tree.note", language, commonest=percent(found.commonest), n=f"{found.fidelity.n:,}")
    columns = tuple(say(key, language) for key in ("why.question", "answer", "rows"))
    rows = tuple((f"{'· ' * one.depth}{one.question}", one.answer, f"{one.rows:,}") for one in found.rules)
    return Chart(heading, say("why.tree.sub", language), Svg(""), Table(columns, rows), (note,))
