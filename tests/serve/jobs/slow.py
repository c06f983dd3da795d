"""A server that has the toy parts, a slow engine, and little patience: `python -m tests.serve.jobs.slow FOLDER PORT`.

A row takes a millisecond or two, answers are kept 20 times a second, a lease lasts a second.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from tests.serve.parts import ToyEngine, register

from trunkline.serve.jobs import ledger, runner
from trunkline.serve.run import serve, work
from trunkline.types import Call


def slow(self: ToyEngine, call: Call) -> Any:
    time.sleep(0.002 * len(call.items))
    return quick(self, call)


quick = ToyEngine.run
ToyEngine.run = slow  # type: ignore[method-assign]
ledger.KEEP_SECONDS = 0.05
runner.LEASE_SECONDS = 1.0
runner.POLL_SECONDS = 0.1


def several(folder: str, count: int) -> None:
    from trunkline.serve.workers import supervise

    supervise([sys.executable, "-m", "tests.serve.jobs.slow", "worker", folder], "127.0.0.1", 0, count)


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        with register():
            work(Path(sys.argv[2]), None, None, int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    elif sys.argv[2:]:
        several(sys.argv[1], int(sys.argv[2]))
    else:
        with register():
            serve(Path(sys.argv[1]), port=0)
