"""What is searched: methods, their settings, trunks. A point of it is `Params`, by names like "mlp.hidden"."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from trunkline.errors import SpecError, located, nearest
from trunkline.methods import METHODS
from trunkline.methods.ladder import order
from trunkline.methods.settings import named
from trunkline.methods.tunable import Searched, Tunable
from trunkline.proof.tuned import Choice
from trunkline.spec import Range, Ranges, Spec
from trunkline.spec.model import trunk_of
from trunkline.spec.words import explained
from trunkline.trunks import find
from trunkline.types import Examples

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

Params: TypeAlias = dict[str, Any]
METHOD, TRUNKS = "method", "trunks"
BESIDE = ("mlp",)  # no rung of the ladder, but cheap, and at times better than one
DIGITS = 3  # significant, of a number that is tried: what is written into product.toml is what was measured


@dataclass(frozen=True)
class Space:
    """ranges and fixed: by method. fixed: settings that product.toml names and nobody searches."""

    methods: tuple[str, ...]
    ranges: Mapping[str, Ranges]
    trunks: Mapping[str, tuple[str, ...]]
    fixed: Mapping[str, Mapping[str, Any]]

    def draw(self, trial: Trial) -> Params:
        """A point as Optuna suggests it; one of a method has no settings of another."""
        params = {METHOD: self._drawn(trial, METHOD)} if len(self.methods) > 1 else {}
        for name in self._names(params.get(METHOD, self.methods[0])):
            params[name] = self._drawn(trial, name)
        return params

    def choice(self, params: Params) -> Choice:
        method = params.get(METHOD, self.methods[0])
        settings = {name: _told(wanted, params[f"{method}.{name}"]) for name, wanted in self.ranges[method].items()}
        trunks = {kind: params[f"{TRUNKS}.{kind}"] for kind in self.trunks}
        return Choice(method, {**self.fixed[method], **settings}, trunks)

    def distribution(self, name: str) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        wanted = self._wanted(name)
        if not isinstance(wanted, Range):
            return CategoricalDistribution(wanted)
        if isinstance(wanted.low, int) and isinstance(wanted.high, int):
            return IntDistribution(wanted.low, wanted.high, log=wanted.log)
        return FloatDistribution(float(wanted.low), float(wanted.high), log=wanted.log)

    def every(self, most: int) -> list[Params] | None:
        """All points, in order, where there are no more than `most`; else None. They are counted first: a range of whole
        numbers may have more than fit into memory."""
        if not self._finite:
            return None
        count = sum(math.prod(len(self._values(name)) for name in self._names(method)) for method in self.methods)
        return list(self._points()) if 0 < count <= most else None

    def _names(self, method: str) -> list[str]:
        return [*(f"{TRUNKS}.{kind}" for kind in self.trunks), *(f"{method}.{name}" for name in self.ranges[method])]

    @property
    def _finite(self) -> bool:
        wanted = [each for ranges in self.ranges.values() for each in ranges.values() if isinstance(each, Range)]
        return all(isinstance(each.low, int) and isinstance(each.high, int) for each in wanted)

    def _points(self) -> Iterator[Params]:
        for method in self.methods:
            own = {METHOD: method} if len(self.methods) > 1 else {}
            lists = [self._values(name) for name in self._names(method)]
            for values in itertools.product(*lists):
                yield {**own, **dict(zip(self._names(method), values, strict=True))}

    def _wanted(self, name: str) -> Range | Sequence[Any]:
        if name == METHOD:
            return self.methods
        first, _, second = name.partition(".")
        return self.trunks[second] if first == TRUNKS else self.ranges[first][second]

    def _values(self, name: str) -> Sequence[Any]:
        wanted = self._wanted(name)
        return range(int(wanted.low), int(wanted.high) + 1) if isinstance(wanted, Range) else wanted

    def _drawn(self, trial: Trial, name: str) -> Any:
        wanted = self._wanted(name)
        if not isinstance(wanted, Range):
            return trial.suggest_categorical(name, wanted)
        if isinstance(wanted.low, int) and isinstance(wanted.high, int):
            return trial.suggest_int(name, wanted.low, wanted.high, log=wanted.log)
        return trial.suggest_float(name, wanted.low, wanted.high, log=wanted.log)


def space_of(spec: Spec, examples: Examples) -> Space:
    """Raises SpecError for a range that the method doesn't know or can't take, a method that can't learn this product,
    and where nothing is left to search."""
    methods = _methods(spec, examples)
    fixed = {name: dict(spec.method.settings) if name == spec.method.name else {} for name in methods}
    ranges: dict[str, Ranges] = {}
    for name in methods:
        own = spec.tune.ranges.get(name)
        found = searched(spec, name)
        for key, wanted in (own or {}).items():
            _check(name, key, wanted, found)
        if own:
            ranges[name] = {key: _whole_or_not(key, wanted, found) for key, wanted in own.items()}
        else:
            ranges[name] = {key: wanted for key, wanted in (found.ranges if found else {}).items() if key not in fixed[name]}
    space = Space(methods, ranges, _trunks(spec), fixed)
    if len(methods) == 1 and not ranges[methods[0]] and not space.trunks:
        known = ", ".join(name for name in METHODS.names() if searched(spec, name))
        raise SpecError(
            f"the method {methods[0]!r} has nothing to search", where="tune.ranges", wanted="ranges of its settings",
            hint=f"[tune] methods = [...], of those with ranges of their own: {known}",
        )  # fmt: skip
    return space


def searched(spec: Spec, method: str) -> Searched | None:
    """What a method says of its settings; None where it says nothing."""
    part = METHODS.get(method)()
    return part.searched(named(spec, method)) if isinstance(part, Tunable) else None


def applied(spec: Spec, choice: Choice) -> Spec:
    """The product as a trial learns it."""
    made = named(spec, choice.method, **choice.settings)
    return msgspec.structs.replace(made, trunks={**spec.trunks, **choice.trunks})


def _methods(spec: Spec, examples: Examples) -> tuple[str, ...]:
    """As named, and then each must be able to; or those of the ladder that can."""
    named_ones = spec.tune.methods or list(spec.tune.ranges)
    if not named_ones and spec.method.name != "auto":
        named_ones = [spec.method.name]
    for name in named_ones:
        refused = METHODS.get(name)().can(named(spec, name), examples)
        if refused is not None:
            raise SpecError(f"{name} can't learn this product", where="tune", found=refused.message, hint="name other methods")
    if named_ones:
        return tuple(dict.fromkeys(named_ones))
    tried = [*order(spec, examples), *BESIDE]
    can = [name for name in tried if METHODS.get(name)().can(named(spec, name), examples) is None]
    found = tuple(name for name in can if (told := searched(spec, name)) and told.ranges)
    if not found:
        raise SpecError(
            "none of the methods that can learn this product has ranges", where="tune", found=", ".join(can) or "no method",
            hint="name one with its ranges: [tune.ranges] METHOD.SETTING = [...]",
        )  # fmt: skip
    return found


def _trunks(spec: Spec) -> dict[str, tuple[str, ...]]:
    for kind, names in spec.tune.trunks.items():
        if not names or len(set(names)) < len(names):
            raise SpecError(f"key 'tune.trunks.{kind}' can't be searched", found=repr(names), wanted="at least one trunk, and none twice")
        for name in names:
            with located(f"key 'tune.trunks.{kind}'"):
                card = find(name).card
            if card.kind != kind:
                raise SpecError("this trunk reads another kind", where=f"tune.trunks.{kind}", found=f"{name}, which reads {card.kind}", wanted=kind)
        if trunk_of(spec, kind) is None:
            raise SpecError("the product has no trunk to choose", where=f"tune.trunks.{kind}", found=f'trunks.{kind} = "none"')
    return {kind: tuple(names) for kind, names in spec.tune.trunks.items()}


def _check(method: str, key: str, wanted: Any, found: Searched | None) -> None:
    """Ends and choices must be what the setting may be."""
    where = f"key 'tune.ranges.{method}.{key}' can't be searched"
    if found is None:
        return  # a method of another package that tells nothing of its settings says so itself when it is tried
    known = {field.name: field for field in msgspec.structs.fields(found.settings)}
    if key not in known:
        raise SpecError(where, where="product.toml", found=repr(key), wanted=f"a setting of {method}", hint=nearest(key, known) or ", ".join(known))
    for value in [wanted.low, wanted.high] if isinstance(wanted, Range) else wanted:
        try:
            msgspec.convert({key: value}, found.settings)
        except msgspec.ValidationError as error:
            if "missing required" in str(error):
                return
            wanted_words = explained(error, {key: value}, found.settings, "").wanted
            raise SpecError(where, where="product.toml", found=f"{key} = {value!r}", wanted=wanted_words) from None


def _whole_or_not(key: str, wanted: Any, found: Searched | None) -> Any:
    """A range with whole ends is one of whole numbers only where the setting takes no others."""
    if found is None or not isinstance(wanted, Range):
        return wanted
    try:
        msgspec.convert({key: (wanted.low + wanted.high) / 2 + 1e-6}, found.settings)
    except msgspec.ValidationError:
        return wanted
    return Range(float(wanted.low), float(wanted.high), wanted.log)


def _told(wanted: Any, value: Any) -> Any:
    """A number as short as it is written, still within its range."""
    if not isinstance(wanted, Range) or isinstance(value, int):
        return value
    short = float(f"{value:.{DIGITS}g}")
    return min(max(short, float(wanted.low)), float(wanted.high)) if math.isfinite(short) else value
