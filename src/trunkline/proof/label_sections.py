"""Folds of the page that depend on the answer's shape: labels or numbers."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.proof.advice import hardest
from trunkline.proof.charts import calibration_chart, dot_chart, heat_chart, scatter_chart
from trunkline.proof.charts.svg import Svg
from trunkline.proof.details import (
    AnswersDetail,
    Bin,
    ClassifyDetail,
    ClassRow,
    MultilabelDetail,
    RegressDetail,
    SpansDetail,
)
from trunkline.proof.messages import say
from trunkline.proof.numbers import amount, brief, whole
from trunkline.proof.report import Report
from trunkline.proof.sections import Chart, Section, Table, dot_of, tick_of

SHOWN_CLASSES = 30
UNEVEN = 0.1  # recall below the mean from which a label lags
SURE = 0.02  # mean gap between promise and outcome called good calibration


def detail_sections(report: Report, language: str) -> list[Section]:
    detail = report.detail
    if isinstance(detail, ClassifyDetail):
        return [
            classes_section(detail.classes, language),
            confusion_section(detail, language),
            calibration_section(detail.bins, detail.histogram, language),
        ]
    if isinstance(detail, MultilabelDetail | SpansDetail):
        sections = [classes_section(detail.classes, language)]
        if detail.bins:
            sections.append(calibration_section(detail.bins, detail.histogram, language))
        return sections
    if isinstance(detail, AnswersDetail):
        return [answers_section(detail, language)]
    return [regress_section(detail, report, language)] if isinstance(detail, RegressDetail) else []


def answers_section(detail: AnswersDetail, language: str) -> Section:
    heading = say("extract.title", language, said=whole(detail.said, "%"))
    rows = tuple(
        (say(f"extract.{'has' if p.has_answer else 'none'}", language), f"{p.rows:,}", *(whole(x, "%") for x in (p.said, p.exact, p.f1)))
        for p in detail.parts
    )
    columns = tuple(say(key, language) for key in ("extract.part", "rows", "extract.said", "metric.answer_exact", "metric.answer_f1"))
    return Section("extract", heading, (Chart("", say("extract.sub", language), Svg(""), Table(columns, rows)),))


def classes_section(classes: Sequence[ClassRow], language: str) -> Section:
    rows = hardest(tuple(classes))
    heading, lags = say("classes.title.even", language), False
    if rows:
        mean = sum(row.recall.value or 0.0 for row in rows) / len(rows)
        if (rows[0].recall.high or 0.0) < mean or (rows[0].recall.value or 0.0) < mean - UNEVEN:
            lags, worst = True, amount(rows[0].recall, "%")
            heading = say("classes.title", language, worst=rows[0].label, recall=worst)
    dots = [
        dot_of(r.label, r.recall, "%", amount(r.recall, "%"), lags and at == 0)
        for at, r in enumerate(rows[:SHOWN_CLASSES])
    ]
    cells = tuple(
        (r.label, f"{r.support:,}", whole(r.recall, "%"), whole(r.precision, "%"), whole(r.f1, "%"))
        for r in (*rows, *(r for r in classes if r not in rows))
    )
    columns = (*(say(key, language) for key in ("label", "rows", "recall", "precision")), "F1")
    notes: tuple[str, ...] = ()
    if len(rows) > SHOWN_CLASSES:
        notes = (say("classes.more", language, shown=SHOWN_CLASSES, n=len(rows)),)
    svg = dot_chart(dots, heading, tick_of("%")) if dots else Svg("")
    chart = Chart("", say("classes.sub", language), svg, Table(columns, cells), notes)
    return Section("classes", heading, (chart,))


def confusion_section(detail: ClassifyDetail, language: str) -> Section:
    """The matrix, or with more than 30 classes the pairs confused most as a list."""
    heading = say("confusion.title.none", language)
    if detail.pairs:
        top = detail.pairs[0]
        heading = say(
            "confusion.title",
            language,
            truth=top.truth,
            answer=top.answer,
            count=f"{top.count:,}",
            support=f"{top.support:,}",
        )
    pairs = Table(
        tuple(say(key, language) for key in ("truth", "answer", "count", "rows")),
        tuple((p.truth, p.answer, f"{p.count:,}", f"{p.support:,}") for p in detail.pairs),
    )
    if detail.confusion is None:
        return Section(
            "confusion", heading, (Chart("", say("confusion.sub.pairs", language), Svg(""), pairs),)
        )
    svg = heat_chart(detail.order, detail.confusion, heading)
    cells = tuple(
        (label, *(f"{n:,}" for n in row)) for label, row in zip(detail.order, detail.confusion, strict=True)
    )
    matrix = Table((f"{say('truth', language)} \\ {say('answer', language)}", *detail.order), cells)
    return Section("confusion", heading, (Chart("", say("confusion.sub", language), svg, matrix),))


def calibration_section(bins: Sequence[Bin], histogram: Sequence[int], language: str) -> Section:
    total = sum(b.right.n for b in bins)
    gaps = [(b.confidence - (b.right.value or 0.0)) * b.right.n / max(1, total) for b in bins]
    key = "good" if sum(map(abs, gaps)) < SURE or _within(bins) else "over" if sum(gaps) > 0 else "under"
    heading = say(f"calibration.title.{key}", language)
    rows = tuple(
        (f"{b.low:.1%}–{b.high:.1%}", f"{b.confidence:.1%}", whole(b.right, "%"), f"{b.right.n:,}")
        for b in bins
    )
    columns = tuple(say(k, language) for k in ("probability", "promised", "came_true", "rows"))
    svg = calibration_chart(bins, histogram, heading, say("rows", language))
    chart = Chart("", say("calibration.sub", language), svg, Table(columns, rows))
    return Section("calibration", heading, (chart,))


def _within(bins: Sequence[Bin]) -> bool:
    """Whether the promise lies in the interval of what came true, in nearly every bin."""
    held = [b for b in bins if (b.right.low or 0.0) <= b.confidence <= (b.right.high or 0.0)]
    return len(held) >= 0.8 * len(bins)


def regress_section(detail: RegressDetail, report: Report, language: str) -> Section:
    shown = report.metrics.get("mae", report.main)
    heading = say("regress.title", language, mae=amount(shown.interval, shown.unit))
    names = (say("truth", language), say("answer", language))
    points = Table(names, tuple((brief(t, 5), brief(a, 5)) for t, a in detail.points))
    svg = scatter_chart(detail.points, heading, brief, names) if detail.points else Svg("")
    notes: tuple[str, ...] = ()
    if detail.coverage is not None:
        notes = (say("regress.coverage", language, share=whole(detail.coverage, "%")),)
    parts = Table(
        tuple(say(key, language) for key in ("truth", "rows", "error", "bias")),
        tuple(
            (f"{brief(q.low)}–{brief(q.high)}", f"{q.error.n:,}", whole(q.error, ""), brief(q.bias))
            for q in detail.quantiles
        ),
    )
    charts = (
        Chart("", say("regress.sub", language), svg, points, notes),
        Chart(say("regress.parts.title", language), "", Svg(""), parts),
    )
    return Section("regress", heading, charts)
