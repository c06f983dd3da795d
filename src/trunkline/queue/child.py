"""The process of one job: put behind everything else on the machine, bound to its cores, ended with its runner.

    python -m trunkline.queue.child RUNNER CORE,CORE,... WORD...
"""

from __future__ import annotations

import os
import runpy
import sys
from contextlib import suppress
from pathlib import Path

from trunkline.training.bound import end_with

_LAST = 19  # the lowest priority
_FIRST_KILLED = 500  # of -1000 to 1000: memory that runs out takes a training, not a server


def yield_to_others() -> None:
    """Only what nobody else wants, also as a session: with autogroups (sched(7)) all else counts only within one."""
    if hasattr(os, "SCHED_IDLE"):  # below niceness: whoever wakes goes first at once
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    os.nice(_LAST)
    for name, value in (("autogroup", _LAST), ("oom_score_adj", _FIRST_KILLED)):
        with suppress(OSError):  # a kernel without it, or a container that may not
            Path("/proc/self", name).write_text(str(value), encoding="ascii")


def main(runner: str, cores: str, *words: str) -> None:
    if not end_with(int(runner)):
        sys.exit(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    yield_to_others()
    sys.argv = ["trunkline", *words]
    runpy.run_module("trunkline", run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
