from __future__ import annotations

import math
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.inputs.date import Date
from trunkline.types import Refused

KIND = Date()
DAY = (date(2024, 1, 2) - date(1970, 1, 1)).days


@pytest.mark.parametrize(
    "raw",
    [
        "2024-01-02", "2024/1/2", "2024.01.02", "2024年1月2日", "2024 年 1 月 2 日", "20240102", 20240102,
        "2 Jan 2024", "Jan 2, 2024", "January 2nd, 2024", "Tue, 02 Jan 2024 00:00:00 GMT", "2024-01-02T00:00:00Z",
        "2024-01-02 08:00:00+08:00", "２０２４-０１-０２", date(2024, 1, 2), datetime(2024, 1, 2, tzinfo=UTC),
        DAY * 86400, str(DAY * 86400), DAY * 86400 * 1000, " 2024-1-2 ",
    ],
)  # fmt: skip
def test_one_day_in_many_forms(raw: object) -> None:
    assert KIND.read(raw) == DAY


@pytest.mark.parametrize(
    ("raw", "days"),
    [
        ("2024-01-02 12:00", DAY + 0.5),
        ("2024/1/2 6:00:00", DAY + 0.25),
        ("2024年1月2日 18时00分", DAY + 0.75),
        ("31/1/2024", DAY + 29),
        ("1/31/2024", DAY + 29),
        ("2/2/2024", DAY + 31),
        ("2024-01", DAY - 1),
        ("2024年1月", DAY - 1),
        ("1969-12-31", -1.0),
    ],
)
def test_read(raw: str, days: float) -> None:
    assert KIND.read(raw) == days


@pytest.mark.parametrize("raw", [None, "", "NA", math.nan])
def test_missing(raw: object) -> None:
    assert math.isnan(KIND.read(raw))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "raw", ["1/2/2024", "2024-02-30", "2024-13-01", "yesterday", "12", 5, True, [1], "99999999", "2 Foo 2024", "2024-01-02 25:00"]
)
def test_refused(raw: object) -> None:
    value = KIND.read(raw)
    assert isinstance(value, Refused)
    assert value.code == "unreadable"


@given(st.datetimes(min_value=datetime(1000, 1, 1)))
def test_iso_round_trip(moment: datetime) -> None:
    wanted = (moment - datetime(1970, 1, 1)).total_seconds() / 86400
    assert KIND.read(moment.isoformat()) == pytest.approx(wanted, abs=1e-9)
