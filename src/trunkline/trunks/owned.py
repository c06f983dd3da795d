"""The engines that a bundle brings, by what lies in their folders own/<name>/."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trunkline.engines.own import HOME, NET, Owned, OwnNetwork
from trunkline.engines.own import RECORD as NETWORK
from trunkline.trunks.adapted import RECORD as ADAPTED
from trunkline.trunks.adapted import Adapted
from trunkline.types import Call

KINDS: dict[str, type[Owned]] = {NETWORK: OwnNetwork, ADAPTED: Adapted}  # by the record in the folder


def packed(owned: Owned, call: Call) -> dict[str, bytes]:
    """The files of a bundle that hold it. call: rows as its head asks them."""
    return {f"{HOME}/{NET}/{name}": content for name, content in owned.packed(call).items()}


def bundled(folder: Path, digests: Mapping[str, str]) -> dict[str, Owned]:
    """Name -> engine, of a bundle's files (name -> sha256). Nothing is loaded. Raises BundleError."""
    found: dict[str, Owned] = {}
    for path in digests:
        home, _, rest = path.partition("/")
        name, _, record = rest.partition("/")
        if home == HOME and record in KINDS:
            own = f"{HOME}/{name}/"
            known = {inside.removeprefix(own): digest for inside, digest in digests.items() if inside.startswith(own)}
            found[name] = KINDS[record].opened(folder / own, known)
    return found
