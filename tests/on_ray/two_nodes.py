"""A Ray cluster of two machines as far as Ray can tell: two raylets, a core each.

`python -m tests.on_ray.two_nodes` says its address, and the process id of the second machine's raylet; on a line from stdin
it kills the second machine, and at the end of stdin it ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Machines:
    """address: of the cluster. second: the process id of the second machine's raylet."""

    def __init__(self, process: subprocess.Popen[str], address: str, second: str) -> None:
        self._process, self.address, self._second = process, address, second

    def on_second(self, pid: int) -> bool:
        """Was this process started there?"""
        try:
            return f"RAY_RAYLET_PID={self._second}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:  # it has ended
            return False

    def kill_second(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print("kill", file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "killed\n"


@contextmanager
def two_nodes(log: Path) -> Iterator[Machines]:
    place = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # a socket's path has to be short
    own = {"PYTHONPATH": os.pathsep.join(["src", "."]), "RAY_TMPDIR": place, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.on_ray.two_nodes"], env={**os.environ, **own}, cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        assert len(words) == 2, log.read_text()[-3000:]
        yield Machines(process, *words)
    finally:
        process.communicate(timeout=120)
        shutil.rmtree(place, ignore_errors=True)


def main() -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        second = cluster.add_node(num_cpus=1)
        print(cluster.address, second.all_processes["raylet"][0].process.pid, flush=True)
        if sys.stdin.readline():
            cluster.remove_node(second, allow_graceful=False)
            print("killed", flush=True)
            sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
