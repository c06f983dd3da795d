"""The fold of the page that shows how the settings were searched: what they bring, what mattered, what was tried."""

from __future__ import annotations

from trunkline.proof.charts import Dot, dot_chart
from trunkline.proof.charts.svg import Svg
from trunkline.proof.details import Interval
from trunkline.proof.messages import named, say
from trunkline.proof.numbers import bare, brief, change, percent, signed
from trunkline.proof.report import Report
from trunkline.proof.sections import Chart, Section, Table
from trunkline.proof.sentence import clear
from trunkline.proof.tuned import AS_IT_IS, Choice, Tried, Tuned

SHOWN = 20  # trials; all are in report.json


def tuned_section(report: Report, language: str) -> Section | None:
    """None where the product isn't learned by settings that a search found."""
    tuned = report.tuned
    if tuned is None or tuned.gain is None:
        return None
    gain = Interval.of(tuned.gain)
    points = f" {say('card.points', language)}" if tuned.unit == "%" else ""
    key = "tuned.title" if clear(gain) else "tuned.title.none"
    heading = say(key, language, gain=f"{change(gain, tuned.unit)}{points}")
    charts = [_importance(tuned, heading, language)] if tuned.importance else []
    notes = (say("tuned.note", language, gain=f"{signed(gain, tuned.unit)}{points}"),)
    return Section("tuned", heading, (*charts, _trials(tuned, notes, language)))


def _importance(tuned: Tuned, heading: str, language: str) -> Chart:
    """Shares of what the trials of the best one's method differ by."""
    shares = list(tuned.importance.items())
    dots = [Dot(name, 100 * share, None, None, percent(share), at == 0) for at, (name, share) in enumerate(shares)]
    svg = dot_chart(dots, heading, lambda value: f"{brief(value)}%", 0.0)
    columns = (say("tuned.setting", language), say("tuned.share", language))
    counts = {state: sum(trial.state == state for trial in tuned.trials) for state in ("done", "pruned", "failed")}
    told = say("tuned.sub", language, method=tuned.trial(tuned.best).choice.method, **{**counts, "done": counts["done"] - 1})
    return Chart("", told, svg, Table(columns, tuple((name, percent(share)) for name, share in shares)))


def _trials(tuned: Tuned, notes: tuple[str, ...], language: str) -> Chart:
    ranked = tuned.ranked[:SHOWN]
    if all(trial.number != AS_IT_IS for trial in ranked):
        ranked.append(tuned.trial(AS_IT_IS))
    metric = named("metric", tuned.metric, language)
    columns = (say("tuned.trial", language), metric, say("method", language), say("tuned.settings", language), say("seconds", language))
    rows = tuple(
        (
            say("tuned.as_it_is", language) if trial.number == AS_IT_IS else str(trial.number),
            _value(trial, tuned),
            trial.choice.method,
            _settings(trial.choice, language),
            f"{trial.seconds:.1f}",
        )
        for trial in ranked
    )
    told = say("tuned.trials", language, n=len(tuned.trials) - 1, metric=metric, rows=f"{tuned.rows:,}")
    return Chart("", told, Svg(""), Table(columns, rows), notes)


def _value(trial: Tried, tuned: Tuned) -> str:
    """As exact as the rows tell trials apart: a row's share."""
    value = trial.value or 0.0
    step = 1 / (2 * max(1, tuned.rows))
    shown = Interval(value, value - step, value + step, tuned.rows) if tuned.unit == "%" else Interval(value, None, None, tuned.rows)
    return f"{bare(shown, tuned.unit)}{' %' if tuned.unit == '%' else ''}"


def _settings(choice: Choice, language: str) -> str:
    parts = [f"{name} {value}" for name, value in choice.settings.items()]
    parts += [say("tuned.trunk", language, kind=kind, name=name) for kind, name in choice.trunks.items()]
    return ", ".join(parts) or say("tuned.its_own", language)
