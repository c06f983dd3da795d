"""What to do next, read off the report: at most four steps, the most useful first."""

from __future__ import annotations

from collections.abc import Iterator

from trunkline.proof.details import ClassifyDetail, ClassRow, MultilabelDetail
from trunkline.proof.messages import say
from trunkline.proof.numbers import amount, decimals, plain, scaled, span
from trunkline.proof.report import Point, Report

STEPS = 4
WIDE = 0.1  # an interval of a share wider than this wants more test rows
WORTH = 0.002  # a forecast gain under this is not worth collecting for

ENOUGH = 5  # test rows of a label, under which nothing is said of it


def next_steps(report: Report, language: str, *, with_rows: bool = True) -> list[str]:
    """Sentences; never empty."""
    found = list(_steps(report, language, with_rows))[:STEPS]
    return found or [say("advice.live", language)]


def _steps(report: Report, language: str, with_rows: bool) -> Iterator[str]:
    for result in report.verdict.results:
        if not result.passed:
            yield say("advice.gate", language, rule=result.rule, why=getattr(result, language))
    main = report.main
    if main.unit == "%" and main.low is not None and main.high is not None and main.high - main.low > WIDE:
        yield say("advice.small", language, n=f"{main.n:,}", span=span(main.interval, "%"))
    faults = [fault for fault in report.data.findings if fault.severity != "info"]
    if faults:
        yield say("advice.data", language, finding=getattr(max(faults, key=lambda f: f.score), language))
    yield from _labels(report, language)
    gain = forecast(report)
    if gain is not None and gain > WORTH:
        yield say("advice.rows", language, gain=forecast_words(report, language))
    if with_rows:
        for part in report.slices:
            if part.differs and _worse(part.estimate.value, report):
                shown = amount(part.estimate, main.unit)
                yield say("advice.slice", language, column=part.column, value=part.value, amount=shown)
                break
    if report.verdict.passed:
        yield say("advice.live", language)


def _worse(value: float | None, report: Report) -> bool:
    overall = report.main.value
    if value is None or overall is None:
        return False
    return value < overall if report.main.higher_is_better else value > overall


def _labels(report: Report, language: str) -> Iterator[str]:
    if isinstance(report.detail, ClassifyDetail) and report.detail.pairs:
        pair = report.detail.pairs[0]
        if pair.count >= 3:
            yield say("advice.pair", language, truth=pair.truth, answer=pair.answer, count=pair.count)
    if isinstance(report.detail, ClassifyDetail | MultilabelDetail):
        worst = hardest(report.detail.classes)
        if worst and worst[0].support < 30 and (worst[0].recall.value or 0.0) < 0.7:
            row = worst[0]
            shown = amount(row.recall, "%")
            yield say("advice.class", language, label=row.label, support=row.support, recall=shown)


def hardest(classes: tuple[ClassRow, ...]) -> list[ClassRow]:
    """Labels with at least ENOUGH rows, by the upper end of their recall: few rows alone make none look hard."""
    known = [row for row in classes if row.recall.value is not None and row.support >= ENOUGH]
    return sorted(known, key=lambda row: (row.recall.high or 0.0, row.recall.value or 0.0))


def ends(report: Report) -> tuple[Point, Point] | None:
    """The last measured point of the learning curve and the forecast."""
    ahead = [point for point in report.curve if point.extrapolated and point.value.value is not None]
    measured = [point for point in report.curve if not point.extrapolated and point.value.value is not None]
    return (max(measured, key=lambda p: p.rows), ahead[0]) if ahead and measured else None


def forecast(report: Report) -> float | None:
    """What 1,000 more rows would bring, signed so that more is better, as a share of the figure's
    own size where it is no share."""
    both = ends(report)
    if both is None:
        return None
    now, then = both[0].value.value or 0.0, both[1].value.value or 0.0
    gain = then - now if report.main.higher_is_better else now - then
    return gain if report.main.unit == "%" else gain / (abs(now) or 1.0)


def forecast_words(report: Report, language: str) -> str:
    """`0.6 points`, by the interval of the forecast."""
    both = ends(report)
    if both is None:
        return ""
    value, low, high = scaled(both[1].value, report.main.unit)
    now = scaled(both[0].value, report.main.unit)[0] or 0.0
    places = max(decimals(low, high, value), decimals(0, 2 * abs((value or 0.0) - now)))
    size = plain(abs((value or 0.0) - now), min(places, 4))
    return say("points.up" if report.main.unit == "%" else "gain.up", language, value=size)
