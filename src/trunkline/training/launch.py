"""Several processes on this machine by torchrun, which starts them all again from the last checkpoint if one of them crashes.

As a module it is torchrun (`python -m trunkline.training.launch agent PARENT ...`) and what that starts (`... worker FILE train
PRODUCT`). An end that was meant (trained, gate failed, an error that was told) is no crash to torchrun: its exit code is left in
FILE. torchrun ends with who started it, and the workers with torchrun, also by kill -9: else they would learn on, unseen.
"""

from __future__ import annotations

import logging
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from trunkline.errors import MissingExtra
from trunkline.files import write_atomic
from trunkline.training import parallel
from trunkline.training.bound import end_with

TOLD = "TRUNKLINE_EXIT_FILE"
RESTARTS = 3
# A store of its own for each start. torchrun's one store for all still has the addresses of the dead: who is started again
# first finds those, and its connection is refused (pytorch/pytorch#135712).
FRESH = "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"
PATIENCE_SECONDS = 10.0  # after Ctrl-C, until the processes are killed
_STOPPED = 130


def run(processes: int, words: Sequence[str]) -> int:
    """`trunkline` with these words, by so many processes; its exit code. Raises MissingExtra without torch."""
    if find_spec("torch") is None:
        raise MissingExtra("torch", "train")
    with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
        file = Path(folder) / "exit"
        command = [
            sys.executable, "-m", "trunkline.training.launch", "agent", str(os.getpid()), "--standalone", "--nproc-per-node", str(processes),
            "--max-restarts", str(RESTARTS), "--monitor-interval", "0.5", "--local-ranks-filter", "0",
            "-m", "trunkline.training.launch", "worker", str(file), *words,
        ]  # fmt: skip
        code = _ended(subprocess.Popen(command, env=_environment(file), process_group=0))  # Ctrl-C is this process's
        try:
            return int(file.read_text())
        except (OSError, ValueError):
            return code


def _ended(agent: subprocess.Popen[bytes]) -> int:
    """Its exit code. Ctrl-C is passed on, so that the workers leave as a single process does."""
    try:
        return agent.wait()
    except KeyboardInterrupt:
        agent.send_signal(signal.SIGINT)
        try:
            agent.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            agent.kill()
            agent.wait()
        raise


def tells() -> bool:
    """Does whoever started this process learn its exit code apart from a crash?"""
    return TOLD in os.environ


def _environment(file: Path) -> dict[str, str]:
    own = {TOLD: str(file), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), FRESH: "1"}
    if sys.platform == "linux":  # nobody outside needs to see these connections
        own["GLOO_SOCKET_IFNAME"] = os.environ.get("GLOO_SOCKET_IFNAME", "lo")
    return {**os.environ, **own}


def _agent(parent: str, *words: str) -> None:
    if not end_with(int(parent)):
        sys.exit(1)
    signal.signal(signal.SIGINT, _leave)  # until torchrun hears it
    from torch.distributed.elastic.agent.server import api as agents
    from torch.distributed.elastic.multiprocessing import api as processes
    from torch.distributed.run import main

    for module in (agents, processes):  # they would tell of each signal that is passed on
        logging.getLogger(module.__name__).setLevel(logging.ERROR)
    try:
        main(list(words))
    except processes.SignalException:
        sys.exit(_STOPPED)


def _worker(named: str, *words: str) -> None:
    file = Path(named)
    if file.exists() or not end_with(os.getppid()):  # the first process has ended and said how; another one crashed after it
        return
    signal.signal(signal.SIGINT, _leave)
    sys.argv = ["trunkline", *words]
    try:
        runpy.run_module("trunkline", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if parallel.rank():
            raise
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        write_atomic(file, str(code).encode())


def _leave(*_: object) -> None:
    """Who started them all tells that they stopped."""
    sys.exit(_STOPPED)


if __name__ == "__main__":
    {"agent": _agent, "worker": _worker}[sys.argv[1]](*sys.argv[2:])
