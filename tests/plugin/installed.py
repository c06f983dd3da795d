"""Makes the package beside this file importable and findable, as pip would, without pip or a network."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent / "trunkline_example"


def install(site: Path) -> list[str]:
    """Fill `site` with what pip would leave: metadata and entry points. Gives what to put on sys.path."""
    meta = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = site / f"{meta['name'].replace('-', '_')}-{meta['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {meta['name']}\nVersion: {meta['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in meta["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    return [str(site), str(PROJECT / "src")]


def install_here(site: Path) -> None:
    """For this process. The doors look for entry points once; here they look again."""
    from trunkline.data.sources import SOURCES
    from trunkline.heads import HEADS
    from trunkline.inputs import KINDS
    from trunkline.methods import METHODS
    from trunkline.tasks import TASKS
    from trunkline.trunks import TRUNKS

    sys.path[:0] = install(site)
    for door in (SOURCES, KINDS, TRUNKS, TASKS, METHODS, HEADS):
        door._scanned = False
