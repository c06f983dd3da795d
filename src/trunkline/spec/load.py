"""Reading and writing product.toml. Every mistake is one SpecError naming key, found and wanted."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from trunkline.errors import SpecError, nearest
from trunkline.spec.model import Spec
from trunkline.spec.ranges import check_ranges
from trunkline.spec.words import explained


def load_spec(path: Path) -> Spec:
    """The Spec in a product.toml (or in the folder that holds one).

    Raises SpecError for a missing file, broken TOML, unknown keys, wrong types or values.
    """
    file = path / "product.toml" if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SpecError(
            "there is no product here",
            where=str(file),
            wanted="a file product.toml",
            hint="trunkline init NAME --template intent, or --from your.csv --label COLUMN",
        ) from None
    except UnicodeDecodeError as error:
        raise SpecError(
            "product.toml is not UTF-8 text", where=str(file), found=str(error.reason), hint="save it as UTF-8"
        ) from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        hint = "" if text.isascii() else 'put quotes around keys that are not plain ASCII: "评论" = "text"'
        raise SpecError(
            "product.toml is not valid TOML", where=str(file), found=str(error), hint=hint
        ) from None
    return parse_spec(raw, where=str(file))


def parse_spec(raw: Mapping[str, Any], where: str = "product.toml") -> Spec:
    """A Spec from plain values. Raises SpecError."""
    _refuse_unknown(raw, Spec, where, "")
    check_ranges(raw, where)
    try:
        spec = msgspec.convert(raw, Spec)
    except msgspec.ValidationError as error:
        raise _explain(error, raw, where) from None
    _check_names(spec, where)
    _check_meaning(spec, where)
    _check_paths(spec, where)
    return spec


def dump_spec(spec: Spec) -> dict[str, Any]:
    """The spec with every default filled in, as plain JSON/TOML values (None left out)."""
    return dict(_without_none(msgspec.to_builtins(spec)))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return value


def _refuse_unknown(raw: Mapping[str, Any], struct: type, where: str, prefix: str) -> None:
    """Unknown keys at any depth, with the nearest known one: msgspec names no alternative."""
    known = _keys_of(struct)
    for key, value in raw.items():
        if key not in known:
            raise SpecError(
                f"unknown key {prefix + key!r}", where=where, found=repr(key), hint=nearest(key, known)
            )
        inner = known[key]
        if inner is not None and isinstance(value, Mapping):
            _refuse_unknown(value, inner, where, f"{prefix}{key}.")


@cache
def _keys_of(struct: type) -> dict[str, type | None]:
    """Key -> the struct it holds, if any. A server reads the specs of many bundles; resolving the hints each
    time would be most of the work."""
    return {key: _struct_in(hint) for key, hint in get_type_hints(struct).items()}


def _struct_in(hint: Any) -> type | None:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    if get_origin(hint) is dict:
        return None
    return next((s for arg in get_args(hint) if (s := _struct_in(arg))), None)


def _explain(error: msgspec.ValidationError, raw: Mapping[str, Any], where: str) -> SpecError:
    told = explained(error, raw, Spec, where)
    if told.what == "key 'name' has a wrong value":
        told.hint = "small letters a-z, digits, - and _, like hotel-reviews; `title` may be any text"
    return told


def _check_meaning(spec: Spec, where: str) -> None:
    """Settings that would be accepted and then do nothing, or nothing good."""
    if spec.method.name == "auto" and spec.method.settings:
        raise SpecError(
            "method.settings are those of a named method", where=where, found="method.name = auto", hint="name one"
        )
    if spec.method.adapt and spec.method.name != "auto":
        raise SpecError(
            "method.adapt is for method.name = auto, which climbs on by it", where=where, found=f"method.name = {spec.method.name}",
            hint="leave adapt out, or take auto",
        )  # fmt: skip
    if spec.serve.thresholds and spec.task != "multilabel":
        raise SpecError("serve.thresholds are for multilabel", where=where, found=f"task = {spec.task}")
    if spec.serve.abstain_precision is not None and spec.serve.abstain_below is not None:
        raise SpecError("serve.abstain_precision and serve.abstain_below exclude each other", where=where)
    for truth, row in spec.proof.costs.items():
        for said, price in row.items():
            if not (math.isfinite(price) and price >= 0):
                key = f"proof.costs.{truth}.{said}"
                raise SpecError(f"key {key!r} has a wrong value", where=where, found=str(price), wanted="0 or more")


def _check_names(spec: Spec, where: str) -> None:
    from trunkline.inputs import KINDS
    from trunkline.methods import METHODS
    from trunkline.tasks import TASKS

    _known(spec.task, TASKS.names(), "task", where)
    for column, kind in spec.inputs.items():
        _known(kind, KINDS.names(), f"inputs.{column}", where)
        if column == spec.label:
            raise SpecError(
                f"the label {column!r} is also an input", where=where, hint=f"remove {column!r} from [inputs]"
            )
    for kind in spec.trunks:
        _known(kind, KINDS.names(), "trunks", where)
    if spec.method.name != "auto":
        _known(spec.method.name, [*METHODS.names(), "auto"], "method.name", where)
    for name in spec.tune.methods:
        _known(name, METHODS.names(), "tune.methods", where)
    for name in spec.tune.ranges:
        _known(name, spec.tune.methods or METHODS.names(), "tune.ranges", where)
    for kind in spec.tune.trunks:
        _known(kind, sorted(set(spec.inputs.values())), "tune.trunks", where)


def _known(name: str, known: list[str], key: str, where: str) -> None:
    if name not in known:
        raise SpecError(
            f"key {key!r} has an unknown value",
            where=where,
            found=repr(name),
            wanted=" | ".join(known),
            hint=nearest(name, known),
        )


def _check_paths(spec: Spec, where: str) -> None:
    for key, path in (("data.train", spec.data.train), ("data.test", spec.data.test)):
        if not isinstance(path, str):
            continue
        parts = PurePosixPath(path.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or re.match(r"^[A-Za-z]:", path) or "\0" in path:
            raise SpecError(
                f"key {key!r} leaves the product's folder",
                where=where,
                found=repr(path),
                wanted="a path below the folder of product.toml",
                hint="copy the file into the folder",
            )
