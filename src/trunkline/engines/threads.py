"""The one place where thread counts are set: BLAS to one, one compute pool as wide as the cores."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

A = TypeVar("A")
B = TypeVar("B")

_BLAS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
THREADS_VARIABLE = "TRUNKLINE_THREADS"
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
_inside = threading.local()


def limit_blas() -> bool:
    """Give BLAS one thread. Call it before numpy is imported; a value set by the user stays.

    True if the settings will be seen, False if numpy was loaded already (spinning BLAS threads
    then cost more than half of the throughput: `tests/engines/test_threads.py`).
    """
    for name in _BLAS:
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return "numpy" not in sys.modules


def workers() -> int:
    """Cores this process may use; TRUNKLINE_THREADS overrides it (1 to 64)."""
    named = threads_by_hand()
    if named is not None:
        return named
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(cores, _quota() or cores)


def threads_by_hand() -> int | None:
    """What TRUNKLINE_THREADS says, if it says a number of threads."""
    asked = os.environ.get(THREADS_VARIABLE, "")
    return int(asked) if asked.isdigit() and 1 <= int(asked) <= 64 else None


@cache
def _quota() -> int | None:
    """Cores that a container may use, begun ones counted; the affinity shows all of the machine's."""
    try:
        allowed, period = _CPU_MAX.read_text(encoding="ascii").split()
        return max(1, -(-int(allowed) // int(period)))
    except (OSError, ValueError):  # no cgroup v2 here, or "max"
        return None


@cache
def pool() -> ThreadPoolExecutor:
    """The compute pool of this process; decoding, engines and heads take turns in it."""
    # Here, since every command imports this module before it can hear Ctrl-C.
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(workers(), thread_name_prefix="compute", initializer=_enter)


def run_all(work: Callable[[A], B], items: Iterable[A], most: int = 0) -> list[B]:
    """`work` of every item, in order, over the pool; inline where this already is a pool thread.

    most: threads of the pool that may work on it at a time; 0 = all.
    """
    todo = list(items)
    width = min(most or workers(), workers(), len(todo))
    if width < 2 or getattr(_inside, "pool", False):
        return [work(item) for item in todo]
    if width == workers():
        return list(pool().map(work, todo))
    out: dict[int, B] = {}
    lines = [range(first, len(todo), width) for first in range(width)]
    for line, found in zip(lines, pool().map(lambda line: [work(todo[at]) for at in line], lines), strict=True):
        out.update(zip(line, found, strict=True))
    return [out[at] for at in range(len(todo))]


def _enter() -> None:
    _inside.pool = True
