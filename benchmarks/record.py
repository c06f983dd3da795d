"""What every benchmark shares: where it ran, with what, and one JSON a benchmark."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

TRIAL = "A TRIAL OF THE SCRIPT, NOT A RESULT"  # in `spread`, where the load was too short to say anything
RESULTS = Path(__file__).resolve().parent / "results"


def record(
    name: str,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    spread: str,
    note: str = "",
    packages: Sequence[str] = (),
) -> Path:
    """Write results/<name>.json. `rows` are one table, columns in the order of the first row;
    `spread` says in words how often was measured and what the interval is."""
    RESULTS.mkdir(exist_ok=True)
    result = {
        "name": name,
        "title": title,
        "machine": machine(),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in ("trunkline", *packages)}},
        "rows": list(rows),
        "spread": spread,
        "note": note,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def machine() -> dict[str, Any]:
    cpu = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.machine()
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "processor": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**20, 1),
        "system": platform.platform(),
        "load_1m": round(os.getloadavg()[0], 2),
    }


def spread_of(seconds: Sequence[float], scale: float = 1000.0, digits: int = 0) -> str:
    """"median (lowest-highest)" in milliseconds unless told otherwise."""
    low, middle, high = (scale * f(seconds) for f in (min, statistics.median, max))
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []
