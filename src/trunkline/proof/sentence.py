"""The sentence first: what the product does, how sure that is, and against what."""

from __future__ import annotations

from trunkline.proof.details import Figure, Interval
from trunkline.proof.messages import named, say
from trunkline.proof.numbers import decimals, plain, scaled, span, strongest
from trunkline.proof.report import Report

FEW = 100  # rows under which "of 100" would sound like more than was measured


def headline(report: Report, language: str) -> str:
    """`Hotel reviews: 94 of 100 right (93.1–95.4), 3 more than word counts alone.`"""
    figure, metric = report.main, named("metric", report.primary, language)
    if figure.value is None:
        return say("head.none", language, title=report.title, metric=metric) + say("gain.none", language)
    counted = report.primary == "accuracy" and figure.unit == "%"
    few = ".few" if figure.n < FEW else ""
    key = f"head.accuracy{few}" if counted else "head.error" if report.primary == "mae" else "head.other"
    shown = span(figure.interval, figure.unit) + (" %" if figure.unit == "%" and not counted else "")
    text = say(
        key,
        language,
        title=report.title,
        metric=metric,
        value=_value(figure, counted),
        span=shown,
        n=figure.n,
    )
    return text + _gain(figure, counted, language)


def _value(figure: Figure, counted: bool) -> str:
    value, low, high = scaled(figure.interval, figure.unit)
    if value is None:
        return ""
    if counted and (value in (0, 100) or 1 <= value <= 99):
        return plain(value, 0)
    unit = "" if counted or not figure.unit else " %" if figure.unit == "%" else f" {figure.unit}"
    return plain(value, decimals(low, high, value)) + unit


def _gain(figure: Figure, counted: bool, language: str) -> str:
    found = strongest(figure)
    if found is None:
        return say("gain.none", language)
    name, gain = found
    baseline = named("baseline", name, language)
    up = clear(gain)
    if up is None:
        return say("gain.unclear", language, baseline=baseline)
    value, low, high = scaled(gain, figure.unit)
    size = plain(abs(value or 0.0), decimals(low, high, value))
    if counted:
        key = "gain.more" if up else "gain.fewer"
    else:
        key = "gain.better" if up else "gain.worse"
        if figure.unit == "%":
            size += " " + say("card.points", language)
    return say(key, language, value=size, baseline=baseline)


def clear(gain: Interval) -> bool | None:
    """True for a sure gain, False for a sure loss, None where the interval holds 0."""
    if gain.low is None or gain.high is None or gain.low <= 0 <= gain.high:
        return None
    return gain.low > 0
