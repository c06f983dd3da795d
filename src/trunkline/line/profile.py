"""`trunkline train --profile`: the seconds of each station of the line, and which is the slowest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from trunkline.files import write_atomic
from trunkline.line.train import WORK, Line
from trunkline.terminal import Stopwatch
from trunkline.training.tracing import traces

FOLDER = "profile"  # below the product's .trunkline
STATIONS = {"data": "read", "encode": "encode", "learn": "learn", "prove": "prove", "explain": "explain", "pack": "pack"}  # laps of `train` by name


@contextmanager
def profiled(line: Line) -> Iterator[Line]:
    """The line, watched; where it came to its end, told as a station and left in .trunkline/profile."""
    folder = line.folder / WORK / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.json"):  # of another training
        file.unlink()
    watch = Stopwatch(lambda: line.desk.features.counts.seconds)
    with traces(folder):
        yield replace(line, watch=watch)
    line.progress.station("profile", sentence(stations(watch.seconds, folder)))


def stations(seconds: Mapping[str, float], folder: Path) -> dict[str, Any]:
    """What `profile` tells, written to <folder>/stations.json too. seconds: by lap."""
    told = {name: round(seconds.get(lap, 0.0), 3) for lap, name in STATIONS.items()}
    slowest = max(told, key=told.__getitem__)
    found = {"slowest": slowest, "seconds": told, "traces": [str(file) for file in sorted(folder.glob("*.trace.json"))]}
    write_atomic(folder / "stations.json", msgspec.json.format(msgspec.json.encode(found)))
    return found


def sentence(found: Mapping[str, Any]) -> str:
    seconds, slowest = found["seconds"], found["slowest"]
    rest = ", ".join(f"{name} {spent:.1f}" for name, spent in seconds.items() if name != slowest)
    traces = f"; traces: {Path(found['traces'][0]).parent}" if found["traces"] else ""
    return f"slowest is {slowest}, {seconds[slowest]:.1f} of {sum(seconds.values()):.1f} s ({rest}){traces}"
