"""Several processes on this machine by torchrun, which starts them all again from the last checkpoint if one of them crashes.

As a module it is what torchrun starts: `python -m trunkline.training.launch FILE train PRODUCT`. An end that was meant
(trained, gate failed, an error that was told) is no crash to torchrun: its exit code is left in FILE.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from trunkline.errors import MissingExtra
from trunkline.files import write_atomic
from trunkline.training import parallel

TOLD = "TRUNKLINE_EXIT_FILE"
RESTARTS = 3
# A store of its own for each start. torchrun's one store for all still has the addresses of the dead: who is started again
# first finds those, and its connection is refused (pytorch/pytorch#135712).
FRESH = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"


def run(processes: int, words: Sequence[str]) -> int:
    """`trunkline` with these words, by so many processes; its exit code. Raises MissingExtra without torch."""
    if find_spec("torch") is None:
        raise MissingExtra("torch", "train")
    with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
        file = Path(folder) / "exit"
        command = [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes),
            "--max-restarts", str(RESTARTS), "--monitor-interval", "0.5", "--local-ranks-filter", "0",
            "-m", "trunkline.training.launch", str(file), *words,
        ]  # fmt: skip
        done = subprocess.run(command, env=_environment(file), check=False)
        try:
            return int(file.read_text())
        except (OSError, ValueError):
            return done.returncode


def tells() -> bool:
    """Does whoever started this process learn its exit code apart from a crash?"""
    return TOLD in os.environ


def _environment(file: Path) -> dict[str, str]:
    own = {TOLD: str(file), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), FRESH: "1"}
    if sys.platform == "linux":  # nobody outside needs to see these connections
        own["GLOO_SOCKET_IFNAME"] = os.environ.get("GLOO_SOCKET_IFNAME", "lo")
    return {**os.environ, **own}


def _started(file: Path, words: Sequence[str]) -> None:
    if file.exists():  # the first process has ended and said how; another one crashed after it
        return
    sys.argv = ["trunkline", *words]
    try:
        runpy.run_module("trunkline", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if parallel.rank():
            raise
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        write_atomic(file, str(code).encode())


if __name__ == "__main__":
    _started(Path(sys.argv[1]), sys.argv[2:])
