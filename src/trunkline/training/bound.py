"""Processes that end with whoever started them, however that one ended, so that none learns on unseen.

    python -m trunkline.training.bound PARENT MODULE WORD...     MODULE as `python -m` runs it
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with(parent: int) -> bool:
    """The kernel kills this process when its parent dies (Linux). False where it is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


if __name__ == "__main__":
    if not end_with(int(sys.argv[1])):
        sys.exit(1)
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
