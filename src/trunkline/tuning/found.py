"""tune.json: what the last search of a product found, beside what it was tried for."""

from __future__ import annotations

from pathlib import Path

import msgspec

from trunkline.files import write_atomic
from trunkline.proof.tuned import AS_IT_IS, FORMAT, Choice, Tuned
from trunkline.spec import Spec

FOLDER = Path(".trunkline") / "tune"  # below the product's
NAME = "tune.json"


def keep(folder: Path, tuned: Tuned) -> Path:
    """Write it beside the product in `folder`."""
    file = folder / FOLDER / NAME
    write_atomic(file, msgspec.json.format(msgspec.json.encode(tuned), indent=2) + b"\n")
    return file


def last(folder: Path) -> Tuned | None:
    """None where there is none, or one of another format: the next search writes it anew."""
    try:
        found = msgspec.json.decode((folder / FOLDER / NAME).read_bytes(), type=Tuned)
    except (OSError, msgspec.DecodeError):
        return None
    return found if found.format == FORMAT else None


def used(spec: Spec, folder: Path) -> Tuned | None:
    """The last search, if the product is learned by the best settings it found."""
    found = last(folder)
    if found is None or found.best == AS_IT_IS:
        return None
    return found if is_chosen(spec, found.trial(found.best).choice) else None


def is_chosen(spec: Spec, choice: Choice) -> bool:
    """Does product.toml say this?"""
    same = spec.method.name == choice.method and spec.method.settings == choice.settings
    return same and all(spec.trunks.get(kind) == name for kind, name in choice.trunks.items())
