"""The one place where thread counts are set: BLAS to one, one compute pool as wide as the cores."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

_BLAS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
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
    asked = os.environ.get("TRUNKLINE_THREADS", "")
    if asked.isdigit() and 1 <= int(asked) <= 64:
        return int(asked)
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@cache
def pool() -> ThreadPoolExecutor:
    """The compute pool of this process; decoding, engines and heads take turns in it."""
    return ThreadPoolExecutor(workers(), thread_name_prefix="compute", initializer=_enter)


def run_all(work: Callable[[A], B], items: Iterable[A]) -> list[B]:
    """`work` of every item, in order, over the pool; inline where this already is a pool thread."""
    todo = list(items)
    if len(todo) < 2 or getattr(_inside, "pool", False) or workers() == 1:
        return [work(item) for item in todo]
    return list(pool().map(work, todo))


def _enter() -> None:
    _inside.pool = True
