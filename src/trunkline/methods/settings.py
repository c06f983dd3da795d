"""[method.settings] of product.toml, checked against what the method knows."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from trunkline.errors import SpecError, nearest
from trunkline.spec import Spec

S = TypeVar("S", bound=msgspec.Struct)


def read_settings(spec: Spec, method: str, known: type[S]) -> S:
    """The settings as a `known` Struct; its defaults where the spec names another method or `auto`.

    Raises SpecError for an unknown setting (with the nearest known one) or a wrong value.
    """
    if spec.method.name != method:
        return known()
    names = [field.name for field in msgspec.structs.fields(known)]
    for name in spec.method.settings:
        if name not in names:
            raise SpecError(
                f"the method {method!r} has no setting {name!r}",
                where="method.settings",
                found=repr(name),
                hint=nearest(name, names),
            )
    try:
        return msgspec.convert(spec.method.settings, known)
    except msgspec.ValidationError as error:
        raise SpecError(
            f"a setting of the method {method!r} has a wrong value", where="method.settings", found=str(error)
        ) from None
