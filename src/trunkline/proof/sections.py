"""The folds of the page: each a title that says its sentence, a chart, and its data as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from trunkline.proof.advice import ends, forecast, forecast_words
from trunkline.proof.charts import Dot, curve_chart, dot_chart
from trunkline.proof.charts.svg import Svg
from trunkline.proof.details import Figure, Interval
from trunkline.proof.messages import named, say
from trunkline.proof.numbers import amount, brief, change, percent, plain, scaled, signed, whole
from trunkline.proof.report import Report, table
from trunkline.proof.sentence import clear

FLAT = 0.002  # a forecast gain (share of the figure) called little
SHOWN_SLICES = 24
CHANCE = 0.05  # of a 95 % interval to miss


@dataclass(frozen=True)
class Table:
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Chart:
    """svg may be empty: then the table is shown at once instead of one click away."""

    title: str
    subtitle: str
    svg: Svg
    table: Table
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    charts: tuple[Chart, ...] = ()
    notes: tuple[str, ...] = field(default=())


def tick_of(unit: str) -> Callable[[float], str]:
    """Axis labels, from values already scaled."""
    return lambda value: f"{brief(value)}%" if unit == "%" else brief(value)


def dot_of(name: str, interval: Interval, unit: str, shown: str, accent: bool = False) -> Dot:
    value, low, high = scaled(interval, unit)
    return Dot(name, value, low, high, shown, accent)


def figures_section(report: Report, language: str) -> Section:
    """Every metric, with interval, baselines and paired gains."""
    main = report.main
    names = list(main.baselines)
    columns = [say("metric", language), say("this", language)]
    for name in [*names, *(["live"] if "live" in main.gains else [])]:
        known = named("baseline", name, language)
        columns += (
            [known, say("gain", language)]
            if name in main.baselines
            else [f"{say('gain', language)}: {known}"]
        )
    rows = tuple(
        (_metric_name(name, figure, language), *_figure_cells(figure, names, language))
        for name, figure in table(report)
    )
    n = f"{main.n:,}"
    notes = (say(f"figures.{report.resampled}", language), say("figures.arrows", language))
    chart = Chart("", say("figures.sub", language, n=n), Svg(""), Table(tuple(columns), rows), notes)
    return Section("figures", say("figures.title", language), (chart,))


def _metric_name(name: str, figure: Figure, language: str) -> str:
    return f"{named('metric', name, language)} {'↑' if figure.higher_is_better else '↓'}"


def _figure_cells(figure: Figure, baselines: list[str], language: str) -> Iterator[str]:
    yield whole(figure.interval, figure.unit) if figure.value is not None else say("undefined", language)
    for name in baselines:
        yield amount(figure.baselines[name], figure.unit)
        yield signed(figure.gains[name], figure.unit)
    if "live" in figure.gains:
        yield signed(figure.gains["live"], figure.unit)


def curve_section(report: Report, language: str) -> Section | None:
    points = [p for p in report.curve if p.value.value is not None]
    if len(points) < 2:
        return None
    unit, metric = report.main.unit, named("metric", report.primary, language)
    gain = forecast(report)
    if gain is None or ends(report) is None:
        heading = say("curve.title.plain", language)
    elif gain < FLAT:
        heading = say("curve.title.flat", language)
    else:
        heading = say("curve.title", language, gain=forecast_words(report, language))
    rows = tuple(
        (f"{p.rows:,}", whole(p.value, unit), say("forecast" if p.extrapolated else "measured", language))
        for p in points
    )
    svg = curve_chart(points, 100 if unit == "%" else 1, heading, tick_of(unit))
    data = Table((say("rows", language), metric, ""), rows)
    chart = Chart("", say("curve.sub", language, metric=metric), svg, data)
    return Section("curve", heading, (chart,))


def slices_section(report: Report, language: str) -> Section | None:
    if not report.slices:
        return None
    unit, metric = report.main.unit, named("metric", report.primary, language)
    differing, total = sum(part.differs for part in report.slices), len(report.slices)
    heading = say("slices.title" if differing else "slices.title.none", language, n=differing, total=total)
    dots = [
        dot_of(f"{p.column} = {p.value}", p.estimate, unit, amount(p.estimate, unit), p.differs)
        for p in report.slices[:SHOWN_SLICES]
    ]
    rows = tuple(
        (
            p.column,
            p.value,
            f"{p.estimate.n:,}",
            whole(p.estimate, unit),
            f"! {say('differs', language)}" if p.differs else say("same", language),
        )
        for p in report.slices
    )
    columns = (*(say(key, language) for key in ("column", "value", "rows")), metric, "")
    svg = dot_chart(dots, heading, tick_of(unit), scaled(report.main.interval, unit)[0])
    note = say("slices.note", language, total=total, chance=brief(total * CHANCE, 2))
    chart = Chart("", say("slices.sub", language, metric=metric), svg, Table(columns, rows), (note,))
    return Section("slices", heading, (chart,))


def ladder_section(report: Report, language: str) -> Section | None:
    """What each method brought over the best before it."""
    if not report.rungs:
        return None
    unit = report.main.unit
    kept = [rung for rung in report.rungs if rung.kept]
    last = kept[-1] if kept else report.rungs[-1]
    gained = last.gain if last.gain is not None and clear(last.gain) else None
    key = "ladder.title" if gained else "ladder.title.one"
    value = scaled(gained, unit)[0] if gained else None
    points = f" {say('card.points', language)}" if unit == "%" else ""
    heading = say(key, language, kept=last.method, gain="" if value is None else f"{plain(value, 1)}{points}")
    dots = [
        dot_of(rung.method, rung.gain, unit, change(rung.gain, unit), rung.kept)
        for rung in report.rungs
        if rung.gain is not None
    ]
    rows = tuple(
        (
            rung.method,
            whole(rung.value, unit),
            "" if rung.gain is None else signed(rung.gain, unit),
            f"{rung.seconds:.1f}",
            f"{rung.size_bytes / 1e6:.2f} MB",
            say("kept" if rung.kept else "not_kept", language) + (f": {rung.note}" if rung.note else ""),
        )
        for rung in report.rungs
    )
    metric = named("metric", report.rungs[0].metric, language)
    columns = (
        say("method", language),
        metric,
        *(say(k, language) for k in ("gain", "seconds", "size", "kept")),
    )
    svg = dot_chart(dots, heading, brief, 0.0) if dots else Svg("")
    return Section("ladder", heading, (Chart("", say("ladder.sub", language), svg, Table(columns, rows)),))


def answers_section(report: Report, language: str) -> Section:
    """How often it answers, and how often it is right then."""
    found = report.answers
    key = "answers.title" if found.right is None else "answers.title.right"
    right = "" if found.right is None else amount(found.right, "%")
    heading = say(key, language, ok=percent(found.ok), right=right)
    shares = (("ok", found.ok), ("abstained", found.abstained), ("out_of_scope", found.out_of_scope))
    rows = [(say(f"status.{name}", language), percent(share)) for name, share in shares]
    if found.right is not None:
        rows.append((say("right_among", language), f"{whole(found.right, '%')}, n = {found.right.n:,}"))
    return Section("answers", heading, (Chart("", "", Svg(""), Table(("", ""), tuple(rows))),))


def data_section(report: Report, language: str) -> Section:
    looked = [fault for fault in report.data.findings if fault.severity != "info"]
    heading = say("data.title" if looked else "data.title.none", language, n=len(looked))
    rows = tuple(
        (say(f"severity.{f.severity}", language), getattr(f, language), f.fix) for f in report.data.findings
    )
    counts = (
        f"{n:,} {say(f'part.{part}', language) if part in ('train', 'test', 'dropped') else part}"
        for part, n in report.data.rows.items()
    )
    data = Table(("", say("finding", language), ""), rows)
    charts = (Chart("", " · ".join(counts), Svg(""), data),)
    return Section("data", heading, charts)


def made_section(report: Report, language: str) -> Section:
    """Seconds, size, trunks with licences, machine: where the figures come from."""
    rows = [
        (say("product", language), report.product),
        (say("version", language), report.version or "–"),
        (say("task", language), report.task),
        (say("size", language), f"{report.size_mb:.2f} MB"),
        (say("source", language), f"{report.data.source} ({report.data.digest[:12]})"),
        (say("machine", language), ", ".join(f"{k} {v}" for k, v in report.machine.items())),
        (say("seconds", language), ", ".join(f"{k} {v:.1f}" for k, v in report.seconds.items())),
    ]
    charts = [Chart("", say("made.sub", language), Svg(""), Table(("", ""), tuple(rows)))]
    if report.trunks:
        cards = tuple((t.id, t.licence, t.source, str(t.dim), t.fingerprint[:16]) for t in report.trunks)
        columns = (*(say(k, language) for k in ("trunk", "licence", "source")), "dim", "fingerprint")
        charts.append(Chart("", "", Svg(""), Table(columns, cards)))
    return Section("made", say("made.title", language), tuple(charts))


def verdict_section(report: Report, language: str) -> Section | None:
    """The gate's rules one by one."""
    if not report.verdict.results:
        return None
    rows = tuple(
        (say("pass" if r.passed else "fail", language), r.rule, getattr(r, language))
        for r in report.verdict.results
    )
    columns = (say("result", language), say("rule", language), say("found", language))
    return Section("gate", say("rules.title", language), (Chart("", "", Svg(""), Table(columns, rows)),))
