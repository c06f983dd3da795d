"""The kind `date`: a day or a moment as float days since 1970-01-01 UTC; a missing cell is nan."""

from __future__ import annotations

import math
import re
import struct
import unicodedata
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from trunkline.inputs.cell import digest, filled, is_missing, unreadable
from trunkline.types import Refused

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_WANTED = "a date such as 2024-01-31"
_TIME = r"(?:[\sT]*(?P<hour>\d{1,2})(?:[:时時点](?P<minute>\d{1,2}))?(?:[:分](?P<second>\d{1,2})(?:\.\d+)?)?[秒分]?)?"
_YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})\s*[-/.年]\s*(?P<month>\d{1,2})(?:\s*[-/.月]\s*(?P<day>\d{1,2}))?\s*[日号月]?" + _TIME
)
_YEAR_LAST = re.compile(r"(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<year>\d{4})" + _TIME)
_NAMED = re.compile(
    r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?"
    r"(?:(?P<day>\d{1,2})(?:st|nd|rd|th)?[\s-]+(?P<name>[a-z]{3,9})\.?|(?P<name2>[a-z]{3,9})\.?\s+(?P<day2>\d{1,2})(?:st|nd|rd|th)?)"
    r"[,\s-]+(?P<year>\d{4}),?" + _TIME + r"(?:\s*(?:gmt|utc|z))?"
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class Date:
    """Read as float days. Without a zone UTC is meant. Understood: ISO 8601, 2024/1/31, 2024.1.31,
    2024年1月31日 (each with a time), 2024-01 (its first day), 20240131, 31 Jan 2024, January 31, 2024,
    31/1/2024 where only one reading is possible, and Unix time in seconds (9-11 digits) or
    milliseconds (12-14 digits)."""

    name: ClassVar[str] = "date"

    def read(self, raw: Any) -> float | Refused:
        """Refused "unreadable" for other forms, days that don't exist and 1/2/2024, which may be two."""
        if is_missing(raw):
            return math.nan
        if isinstance(raw, datetime):
            return _days(raw)
        if isinstance(raw, date):
            return _days(datetime(raw.year, raw.month, raw.day))
        if isinstance(raw, bool) or not isinstance(raw, str | int | float):
            return unreadable(raw, _WANTED)
        try:
            days = _from_text(unicodedata.normalize("NFKC", str(raw)).strip())
        except (ValueError, OverflowError):  # a day or an hour that doesn't exist
            days = None
        return unreadable(raw, _WANTED) if days is None else days

    def key(self, value: float) -> bytes:
        return digest("date", b"nan" if math.isnan(value) else struct.pack("<d", value + 0.0))

    def schema(self) -> dict[str, Any]:
        return {
            "type": ["string", "number", "null"],
            "description": "A date or a moment, best as ISO 8601; UTC if no zone is given; null if unknown.",
            "examples": ["2024-01-31"],
        }

    def guess(self, cells: Sequence[Any]) -> float:
        """Bare numbers don't count: they are more likely numbers."""
        seen = filled(cells)
        dates = sum(
            isinstance(cell, date)
            or (isinstance(cell, str) and not cell.strip().isdigit() and not isinstance(self.read(cell), Refused))
            for cell in seen
        )
        return 0.96 * (dates / len(seen)) ** 2 if seen else 0.0


def _days(moment: datetime) -> float:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) / _DAY


def _from_text(text: str) -> float | None:
    digits = re.fullmatch(r"(\d{8,14})(?:\.\d+)?", text)
    if digits:
        return _from_digits(text, len(digits[1]))
    if re.match(r"\d{4}-\d\d-\d\d", text):
        try:
            return _days(datetime.fromisoformat(text))
        except ValueError:  # not ISO to the letter; the looser forms below may know it
            pass
    if found := _YEAR_FIRST.fullmatch(text):
        return _moment(found, int(found["month"]), int(found["day"] or 1))
    if found := _YEAR_LAST.fullmatch(text):
        return _day_month(found)
    if found := _NAMED.fullmatch(text.casefold()):
        name = (found["name"] or found["name2"])[:3]
        return _moment(found, _MONTHS.index(name) + 1, int(found["day"] or found["day2"]))
    return None


def _from_digits(text: str, count: int) -> float | None:
    if count == 8:
        return _days(datetime.strptime(text, "%Y%m%d"))
    seconds = float(text) if count <= 11 else float(text) / 1000
    return seconds / 86400


def _day_month(found: re.Match[str]) -> float | None:
    first, second = int(found["a"]), int(found["b"])
    if first > 12:
        return _moment(found, second, first)
    if second > 12 or first == second:
        return _moment(found, first, second)
    return None


def _moment(found: re.Match[str], month: int, day: int) -> float:
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    return _days(datetime(int(found["year"]), month, day, hour, minute, second))
