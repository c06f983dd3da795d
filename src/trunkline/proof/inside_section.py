"""The fold of the page that shows what a network learned here looks with: its first filters, its attention."""

from __future__ import annotations

from trunkline.proof.charts import Tile, attention_chart, tiles_chart
from trunkline.proof.explained import Attention, Filter
from trunkline.proof.messages import say
from trunkline.proof.report import Report
from trunkline.proof.sections import Chart, Section, Table


def inside_section(report: Report, language: str) -> Section | None:
    found = report.inside
    charts = [_filters(found.filters, language)] if found.filters else []
    charts += [_attention(one, language) for one in found.attention]
    return Section("inside", say("inside.title", language), tuple(charts)) if charts else None


def _filters(found: tuple[Filter, ...], language: str) -> Chart:
    heading = say("inside.filters", language, n=len(found))
    kinds = [say(f"inside.kind.{one.kind}", language) for one in found]
    tiles = [Tile(f"{at} {kind}", one.side, one.pixels) for at, (kind, one) in enumerate(zip(kinds, found, strict=True), 1)]
    columns = tuple(say(f"inside.{key}", language) for key in ("filter", "kind", "pixels"))
    rows = tuple((str(at), kind, " ".join(one.pixels)) for at, (kind, one) in enumerate(zip(kinds, found, strict=True), 1))
    note = say("inside.filters.note", language)
    return Chart(heading, say("inside.filters.sub", language), tiles_chart(tiles, heading), Table(columns, rows), (note,))


def _attention(found: Attention, language: str) -> Chart:
    heading = say("inside.attention", language, row=f"{found.row:,}")
    layers = [say("inside.layer", language, n=n) for n in range(1, len(found.shares) + 1)]
    names = [say("inside.head", language, layer=i, head=j) for i, layer in enumerate(found.shares, 1) for j in range(1, len(layer) + 1)]
    heads = [head for layer in found.shares for head in layer]
    rows = tuple((word, *(f"{head[at]:.1%}" for head in heads)) for at, word in enumerate(found.words))
    notes = [say("inside.attention.note", language)]
    notes += [say("inside.attention.more", language, n=found.more)] if found.more else []
    svg = attention_chart(found.words, found.shares, layers, heading)
    table = Table((say("inside.word", language), *names), rows)
    return Chart(heading, say("inside.attention.sub", language), svg, table, tuple(notes))
