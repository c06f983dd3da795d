"""How figures are written: with their unit, rounded to what the interval allows."""

from __future__ import annotations

import math

from trunkline.proof.details import Figure, Interval

MINUS, DASH, NONE = "−", "–", "–"
NOTHING = 1e-9  # what rounding left of a 0


def decimals(low: float | None, high: float | None, value: float | None = None) -> int:
    """Decimals that the interval allows: its half width keeps one digit, or two if it is under 2."""
    if all(abs(x or 0.0) < NOTHING for x in (low, high, value)):
        return 0
    half = 0.0 if low is None or high is None else (high - low) / 2
    if half <= 0:
        half = abs(value or 0.0) / 100
    places = 0 if half <= 0 else max(0, min(6, math.ceil(-math.log10(half / 2) - 1e-9)))
    hidden = any(end and not round(end, places) for end in (low, high))  # its sign would not show
    return min(6, places + hidden)


def plain(value: float, places: int) -> str:
    text = f"{value:,.{places}f}"
    return text.replace("-", MINUS) if float(text.replace(",", "")) else text.lstrip("-")


def scaled(interval: Interval, unit: str) -> tuple[float | None, float | None, float | None]:
    """value, low, high; as percent where the unit is %."""
    factor = 100 if unit == "%" else 1
    value, low, high = (
        None if x is None else x * factor for x in (interval.value, interval.low, interval.high)
    )
    return value, low, high


def amount(interval: Interval, unit: str) -> str:
    """The value alone: `94.2 %`."""
    return NONE if interval.value is None else bare(interval, unit) + _unit(unit)


def bare(interval: Interval, unit: str) -> str:
    """The value without its unit: `94.2`."""
    value, low, high = scaled(interval, unit)
    return NONE if value is None else plain(value, decimals(low, high, value))


def span(interval: Interval, unit: str) -> str:
    """The interval alone: `93.1–95.4`."""
    value, low, high = scaled(interval, unit)
    if low is None or high is None:
        return NONE
    places = decimals(low, high, value)
    joint = DASH if low >= 0 else " … "
    return f"{plain(low, places)}{joint}{plain(high, places)}"


def whole(interval: Interval, unit: str) -> str:
    """Value and interval: `94.2 % (93.1–95.4)`."""
    if interval.value is None:
        return NONE
    return f"{amount(interval, unit)} ({span(interval, unit)})"


def signed(interval: Interval, unit: str) -> str:
    """A difference with its sign: `+3.1 (1.9–4.2)`; in points where the unit is %."""
    return NONE if interval.value is None else f"{change(interval, unit)} ({span(interval, unit)})"


def change(interval: Interval, unit: str) -> str:
    """A difference alone, with its sign: `+3.1`."""
    value, low, high = scaled(interval, unit)
    if value is None:
        return NONE
    text = plain(value, decimals(low, high, value))
    return text if text.startswith(MINUS) or not text.strip("0.") else f"+{text}"


def percent(share: float) -> str:
    """A share of 1 without an interval: `4.2 %`."""
    return f"{share * 100:.1f} %" if 0 < share < 0.1 else f"{share * 100:.0f} %"


def brief(value: float, digits: int = 3) -> str:
    """A number without an interval, to significant digits, thousands apart, never as 1e+06."""
    if not value:
        return "0"
    if not math.isfinite(value):
        return NONE
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = plain(value, min(places, 8))
    return text.rstrip("0").rstrip(".") if "." in text else text


def strongest(figure: Figure) -> tuple[str, Interval] | None:
    """The baseline hardest to beat, with the paired gain over it."""
    known = [(name, gain) for name, gain in figure.gains.items() if name != "live" and gain.value is not None]
    return min(known, key=lambda item: item[1].value or 0.0) if known else None


def _unit(unit: str) -> str:
    return " %" if unit == "%" else f" {unit}" if unit else ""
