from __future__ import annotations

import math
from decimal import Decimal

import pytest

from trunkline.inputs.category import Category
from trunkline.types import Refused

KIND = Category()


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (" red ", "red"),
        ("内科", "内科"),
        ("3", "3"),
        (3, "3"),
        (3.0, "3"),
        ("3.0", "3"),
        ("-0.0", "0"),
        (Decimal("3.0"), "3"),
        (2.5, "2.5"),
        ("007", "007"),
        ("1.10", "1.10"),
        (True, "true"),
        ("True", "true"),
        ("none", "none"),
        ("NA", "NA"),
        ("<b>x</b>", "<b>x</b>"),
        ("a\0b", "ab"),
        (None, None),
        ("", None),
        ("  ", None),
        (math.nan, None),
    ],
)
def test_read(raw: object, value: str | None) -> None:
    assert KIND.read(raw) == value


@pytest.mark.parametrize(("raw", "code"), [([1], "unreadable"), ({}, "unreadable"), ("x" * 10_001, "too_long")])
def test_refused(raw: object, code: str) -> None:
    value = KIND.read(raw)
    assert isinstance(value, Refused)
    assert value.code == code


def test_infinity_is_a_name_like_any_other() -> None:
    assert KIND.read(math.inf) == "inf"


def test_missing_has_a_key_of_its_own() -> None:
    assert KIND.key(None) != KIND.key("missing")
