from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.inputs.number import Number
from trunkline.types import Refused

KIND = Number()


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (3, 3.0),
        (2.5, 2.5),
        (True, 1.0),
        (Decimal("1.25"), 1.25),
        ("12", 12.0),
        (" -3.5 ", -3.5),
        ("1,234.5", 1234.5),
        ("1,234,567", 1234567.0),
        ("1 234", 1234.0),
        ("1\u00a0234", 1234.0),
        ("1'234", 1234.0),
        ("12%", 0.12),
        ("１２．５", 12.5),
        ("１，２３４", 1234.0),
        ("￥1,200", 1200.0),
        ("-$5", -5.0),
        ("\u22125", -5.0),
        ("1e3", 1000.0),
        (".5", 0.5),
    ],
)
def test_read(raw: object, value: float) -> None:
    assert KIND.read(raw) == pytest.approx(value)


@pytest.mark.parametrize("raw", [None, "", "  ", "NA", "n/a", "NaN", "null", "None", "-", "?", "无", math.nan])
def test_missing_is_nan(raw: object) -> None:
    value = KIND.read(raw)
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize(
    "raw",
    ["abc", "1,5", "1,23,4", "12,34.5", "1_000", "inf", "-Infinity", math.inf, 10**400, "9" * 400, "1 2", [1], {}, "--5", "0x10"],
)
def test_refused(raw: object) -> None:
    value = KIND.read(raw)
    assert isinstance(value, Refused)
    assert value.code == "unreadable"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_float_survives_text(number: float) -> None:
    assert KIND.read(repr(number)) == number


@given(st.integers(min_value=-(10**12), max_value=10**12))
def test_thousands_with_commas(number: int) -> None:
    assert KIND.read(f"{number:,}") == number


def test_key() -> None:
    assert KIND.key(0.0) == KIND.key(-0.0)
    assert KIND.key(math.nan) == KIND.key(-math.nan)
    assert KIND.key(1.0) != KIND.key(math.nan)
