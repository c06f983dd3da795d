"""Settings that were found, into product.toml: what else stands there, comments too, stays as it is."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from trunkline.errors import MissingExtra, SpecError
from trunkline.files import write_atomic
from trunkline.proof.tuned import Choice
from trunkline.spec import Spec, load_spec, parse_spec
from trunkline.tuning.space import applied

BOM = "\ufeff"


def write_choice(file: Path, choice: Choice) -> None:
    """Write [method] name and settings, and [trunks], into a product.toml, whole or not at all.

    Its ends of lines, its mode and where a link leads stay. Raises SpecError where the file is none (it may have been edited
    since the search began), or what came out would say something else than the choice, MissingExtra.
    """
    try:
        import tomlkit
    except ImportError:
        raise MissingExtra("tomlkit", "tune") from None
    before, mode = load_spec(file), file.stat().st_mode
    text = file.read_bytes().decode("utf-8")
    mark = BOM if text.startswith(BOM) else ""
    document: Any = tomlkit.parse(text.removeprefix(BOM))
    method = document.setdefault("method", tomlkit.table())
    method["name"] = choice.method
    method.pop("adapt", None)
    _settings(method, choice.settings)
    if choice.trunks:
        document.setdefault("trunks", tomlkit.table()).update(choice.trunks)
    written = tomlkit.dumps(document)
    if "\r\n" in text:
        written = written.replace("\r\n", "\n").replace("\n", "\r\n")  # new lines end as the old ones do
    _check(parse_spec(tomllib.loads(written), str(file)), before, choice, file)
    write_atomic(file.resolve(), (mark + written).encode())
    file.chmod(mode)


def _settings(method: Any, settings: dict[str, Any]) -> None:
    """Those that stay keep their place and comment."""
    known = method.get("settings")
    if known is None:
        if settings:
            method["settings"] = settings
        return
    for name in [name for name in known if name not in settings]:
        del known[name]
    for name, value in settings.items():
        if name not in known or known[name] != value:
            known[name] = value


def _check(after: Spec, before: Spec, choice: Choice, file: Path) -> None:
    wanted = applied(before, choice)
    if after != wanted:
        raise SpecError(
            "the settings can't be written into this product.toml", where=str(file), found=repr(msgspec.to_builtins(after.method)),
            wanted=repr(msgspec.to_builtins(wanted.method)), hint="nothing was changed: write them by hand",
        )  # fmt: skip
