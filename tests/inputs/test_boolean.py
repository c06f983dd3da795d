from __future__ import annotations

import math

import pytest

from trunkline.inputs.boolean import Boolean
from trunkline.types import Refused

KIND = Boolean()


@pytest.mark.parametrize("raw", [True, 1, 1.0, "true", "Yes", " Y ", "t", "1", "是", "ON", "１"])
def test_yes(raw: object) -> None:
    assert KIND.read(raw) == 1.0


@pytest.mark.parametrize("raw", [False, 0, 0.0, "False", "no", "N", "f", "0", "否", "off", "无"])
def test_no(raw: object) -> None:
    assert KIND.read(raw) == 0.0


@pytest.mark.parametrize("raw", [None, "", "NA", math.nan])
def test_missing(raw: object) -> None:
    assert math.isnan(KIND.read(raw))  # type: ignore[arg-type]


@pytest.mark.parametrize("raw", [2, "2", "maybe", [True], -1, 0.5])
def test_refused(raw: object) -> None:
    assert isinstance(KIND.read(raw), Refused)
