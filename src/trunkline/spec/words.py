"""What a key may hold, in plain words: for the reference page, and for the error about a value that is wrong."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from trunkline.errors import SpecError, nearest

_NAMES = {str: "text", float: "number", int: "whole number", bool: "true or false", Any: "any", type(None): ""}
_OWN_SECTION = ("Query", "Range")  # of the reference page
_STEP = re.compile(r"\.(?P<name>\w+)|\[(?P<at>\d+)\]|\[\.\.\.\]")
_CHOICE = re.compile(r"\^\(([^()]+)\)\$")  # a pattern that only lists words


def in_words(hint: Any) -> str:
    """A type hint in plain words, with its bounds or its choices."""
    if listed := choices(hint):
        return " | ".join(listed)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return in_words(inner[0]) + "".join(_bounds(meta) for meta in metas(hint))
    if origin in (Union, types.UnionType):
        return " or ".join(filter(None, map(in_words, inner)))
    if origin in (list, tuple):
        return f"list of {in_words(inner[0])}"
    if origin is dict:
        return f"table of {in_words(inner[0])} = {in_words(inner[1])}"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint.__name__.lower() if hint.__name__ in _OWN_SECTION else "table"
    return _NAMES[hint]


def choices(hint: Any) -> list[str]:
    """The words that a key of this type may hold; none where it isn't a choice."""
    if get_origin(hint) is Literal:
        return [str(word) for word in get_args(hint)]
    if get_origin(hint) is Annotated:
        listed = [_CHOICE.fullmatch(meta.pattern) for meta in metas(hint) if meta.pattern]
        return listed[0][1].split("|") if listed and listed[0] else choices(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return [word for arg in get_args(hint) for word in choices(arg)]
    return []


def metas(hint: Any) -> list[msgspec.Meta]:
    return [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, msgspec.Meta)]


def explained(
    error: msgspec.ValidationError, raw: Any, struct: type[msgspec.Struct], where: str, prefix: str = ""
) -> SpecError:
    """What msgspec refused in `raw`, as an error that names the key, what it holds and what it may hold."""
    what, _, at = str(error).partition(" - at ")
    found = _Place(struct, raw, prefix)
    for step in _STEP.finditer(at):
        if not found.enter(step):
            break
    if named := re.search(r"(missing required|unknown) field `(.+?)`", what):
        key = f"{found.key}.{named[2]}".strip(".")
        if named[1] == "unknown":
            return SpecError(f"unknown key {key!r}", where=where, found=repr(named[2]), hint=nearest(named[2], found.fields()))
        return SpecError(f"key {key!r} is missing", where=where, hint=f"add {key} = ...")
    listed = choices(found.hint)
    hint = nearest(str(found.value), listed) if listed else ""
    if not hint and isinstance(found.default, str | int | float) and found.default != "":
        hint = f"leave it out for {json.dumps(found.default, ensure_ascii=False)}"
    return SpecError(
        f"key {found.key!r} has a wrong value", where=where, found=repr(found.value)[:80], wanted=in_words(found.hint), hint=hint
    )


class _Place:
    """A value within raw settings, with the type that it should have."""

    def __init__(self, hint: Any, value: Any, key: str) -> None:
        self.hint, self.value, self.key, self.default = hint, value, key, msgspec.NODEFAULT

    def enter(self, step: re.Match[str]) -> bool:
        """One step on msgspec's path; False where it leads no further."""
        bare = _container(self.hint)
        if step["name"] and step["name"] in self.fields() and isinstance(self.value, Mapping):
            field = next(field for field in msgspec.structs.fields(bare) if field.name == step["name"])
            self.default = field.default
            return self._at(self.fields()[step["name"]], self.value.get(step["name"]), step["name"])
        self.default = msgspec.NODEFAULT
        if step["at"] and get_origin(bare) in (list, tuple):
            return self._at(get_args(bare)[0], self.value[int(step["at"])], step["at"])
        if get_origin(bare) is dict and isinstance(self.value, Mapping):
            inner = get_args(bare)[1]
            name = next((name for name, value in self.value.items() if not _fits(value, inner)), None)
            return name is not None and self._at(inner, self.value[name], str(name))
        return False

    def fields(self) -> dict[str, Any]:
        bare = _container(self.hint)
        known = isinstance(bare, type) and issubclass(bare, msgspec.Struct)
        return get_type_hints(bare, include_extras=True) if known else {}

    def _at(self, hint: Any, value: Any, name: str) -> bool:
        self.hint, self.value, self.key = hint, value, f"{self.key}.{name}".strip(".")
        return True


def _fits(value: Any, hint: Any) -> bool:
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError:
        return False
    return True


def _container(hint: Any) -> Any:
    """Of `Query | str | None` or an annotated type the part that holds others, if there is one."""
    if get_origin(hint) is Annotated:
        return _container(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        parts = [_container(arg) for arg in get_args(hint)]
        return next((part for part in parts if get_origin(part) or (isinstance(part, type) and issubclass(part, msgspec.Struct))), parts[0])
    return hint


def _bounds(meta: msgspec.Meta) -> str:
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    parts = [f"{sign} {bound:g}" for name, sign in signs.items() if (bound := getattr(meta, name)) is not None]
    if meta.pattern:
        parts.append(f"`{meta.pattern}`")
    if meta.min_length:
        parts.append("not empty")
    return f" ({', '.join(parts)})" if parts else ""
