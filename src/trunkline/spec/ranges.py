"""[tune.ranges] of product.toml: what can be searched at all. Whether a method takes it, the method knows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trunkline.errors import SpecError, nearest

EXAMPLE = '[32, 64] or { low = 1e-4, high = 1e-2, log = true }'
KEYS = ("low", "high", "log")
LARGEST = 2**53  # of whole numbers: every one up to here is a float too, as Optuna keeps them


def check_ranges(raw: Mapping[str, Any], where: str) -> None:
    """Raises SpecError naming the key, what was found and what was wanted. Anything else that is wrong with [tune]
    is left to the struct."""
    tune = raw.get("tune")
    ranges = tune.get("ranges") if isinstance(tune, Mapping) else None
    for method, settings in ranges.items() if isinstance(ranges, Mapping) else ():
        key = f"tune.ranges.{method}"
        if not isinstance(settings, Mapping):
            raise _unsearchable(key, where, repr(settings), f"settings of {method}", f"{key}.SETTING = {EXAMPLE}")
        for name, given in settings.items():
            if name in KEYS and not isinstance(given, list | Mapping):
                raise _unsearchable(key, where, f"{name} = {given!r}", "ranges.<method>.<setting>", f"{key}.SETTING = {EXAMPLE}")
            _check(f"{key}.{name}", where, given)


def _check(key: str, where: str, given: Any) -> None:
    if isinstance(given, list):
        _check_choices(key, where, given)
    elif isinstance(given, Mapping):
        _check_range(key, where, given)
    else:
        raise _unsearchable(key, where, repr(given), EXAMPLE, "one value needs no search: put it under [method.settings]")


def _check_choices(key: str, where: str, given: list[Any]) -> None:
    for choice in given:
        if not isinstance(choice, str | bool | int | float) or (isinstance(choice, float) and not math.isfinite(choice)):
            raise _unsearchable(key, where, repr(choice), "choices that are texts, numbers or true and false")
    told = {(type(choice), choice) for choice in given}
    if len(told) < len(given) or not given:
        raise _unsearchable(key, where, repr(given), "at least one choice, and none twice")


def _check_range(key: str, where: str, given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in KEYS:
            raise _unsearchable(key, where, repr(name), "low, high, log", nearest(name, KEYS))
    ends = [given.get("low"), given.get("high")]
    numbers = [end for end in ends if isinstance(end, int | float) and not isinstance(end, bool) and math.isfinite(end)]
    shown = ", ".join(f"{name} = {given[name]!r}" for name in KEYS if name in given) or "{ }"
    if len(numbers) < 2:
        raise _unsearchable(key, where, shown, "low and high, both numbers", EXAMPLE)
    if any(isinstance(end, int) and abs(end) > LARGEST for end in numbers):
        raise _unsearchable(key, where, shown, f"whole numbers up to {LARGEST}")
    if numbers[0] >= numbers[1]:
        raise _unsearchable(key, where, shown, "low below high")
    if not isinstance(given.get("log", False), bool):
        raise _unsearchable(key, where, shown, "log = true or false")
    if given.get("log") and numbers[0] <= 0:
        raise _unsearchable(key, where, shown, "low above 0, since log = true searches by factors")


def _unsearchable(key: str, where: str, found: str, wanted: str, hint: str = "") -> SpecError:
    return SpecError(f"key {key!r} can't be searched", where=where, found=found, wanted=wanted, hint=hint)
