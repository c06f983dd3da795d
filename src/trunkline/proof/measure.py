"""What only this machine can say: how fast it answers, and what it is."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trunkline.engines.processor import model
from trunkline.types import Latency

WARM_UP = 3


def measure_latency(answer: Callable[[Sequence[Any]], object], rows: Sequence[Any], n: int = 60) -> Latency:
    """Time `answer` on one row a call, n calls over the rows in turn, after a short warm-up.

    cpu_ms is the processor time of this process in the middle call, all threads together: what a
    call costs, where p50_ms is what it takes. `answer` must not be reading a cache of features.
    """
    wall, cpu = [], []
    for at in range(-WARM_UP, n if rows else -WARM_UP):
        row = [rows[at % len(rows)]]
        started, spent = time.perf_counter(), time.process_time()
        answer(row)
        if at >= 0:
            wall.append((time.perf_counter() - started) * 1_000)
            cpu.append((time.process_time() - spent) * 1_000)
    if not wall:
        return Latency(0.0, 0.0, 0.0, 0, 0.0)
    p50, p95 = (float(q) for q in np.quantile(wall, [0.5, 0.95]))
    return Latency(p50, p95, 1_000 / float(np.mean(wall)), len(wall), float(np.median(cpu)))


def machine() -> dict[str, str]:
    """Processor, cores this process may use, memory, system, Python: for beside the figures."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return {
        "processor": model(),
        "cores": str(cores),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _memory() -> str:
    names = getattr(os, "sysconf_names", {})
    if "SC_PAGE_SIZE" not in names or "SC_PHYS_PAGES" not in names:
        return ""
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
