"""[method.settings] of product.toml, checked against what the method knows."""

from __future__ import annotations

import math
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec

from trunkline.errors import SpecError, nearest
from trunkline.spec import Spec
from trunkline.spec.words import explained

S = TypeVar("S", bound=msgspec.Struct)


class NoSettings(msgspec.Struct, frozen=True):
    """Of a method that chooses nothing, or lets its parts choose."""


@runtime_checkable
class Checks(Protocol):
    """A method that can tell from the spec alone whether its settings are right."""

    def check(self, spec: Spec) -> None:
        """Raises SpecError. Asked before rows are read, so that nobody waits for them in vain."""
        ...


def check_settings(spec: Spec) -> None:
    """Raises SpecError where the product's method can't take its settings."""
    from trunkline.methods import METHODS

    if spec.method.name == "auto":
        return
    method = METHODS.get(spec.method.name)()
    if isinstance(method, Checks):
        method.check(spec)


def read_settings(spec: Spec, method: str, known: type[S]) -> S:
    """The settings as a `known` Struct; its defaults where the spec names another method or `auto`.

    Raises SpecError for an unknown setting (with the nearest known one) or a wrong value.
    """
    if spec.method.name != method:
        return known()
    given = spec.method.settings
    names = [field.name for field in msgspec.structs.fields(known)]
    for name in given:
        if name not in names:
            raise SpecError(
                f"the method {method!r} has no setting {name!r}",
                where="method.settings",
                found=repr(name),
                hint=nearest(name, names),
            )
        if isinstance(given[name], float) and not math.isfinite(given[name]):  # TOML knows nan and inf
            key = f"method.settings.{name}"
            raise SpecError(f"key {key!r} has a wrong value", where="product.toml", found=str(given[name]), wanted="a number")
    try:
        return msgspec.convert(given, known)
    except msgspec.ValidationError as error:
        raise explained(error, given, known, "product.toml", "method.settings") from None


def named(spec: Spec, method: str, **settings: Any) -> Spec:
    """The product as if it named this method, with these settings; None stands for the method's own choice."""
    given = {name: value for name, value in settings.items() if value is not None}
    return msgspec.structs.replace(spec, method=msgspec.structs.replace(spec.method, name=method, adapt=False, settings=given))
