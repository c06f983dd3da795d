"""A command on a Ray cluster, and the cluster's processes: found by a word in their environment, so that no other test's are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


def of(title: str, mark: str) -> list[int]:
    """Their ids, the first to be started first."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, about = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue  # it has ended, or is another user's
        if name.startswith(b"ray::") and title.encode() in name and mark.encode() in about:
            found.append(int(folder.name))
    return sorted(found)


@contextmanager
def command(words: list[str], cache: Path, log: Path) -> Iterator[subprocess.Popen[str]]:
    """`trunkline` with these words, --on ray, two processes; stderr goes to the log. Ray gives its own processes 30 seconds to
    come up, which on busy cores may be too few: then it is tried again."""
    line = [sys.executable, "-m", "trunkline", *words, "--on", "ray", "--processes", "2", "--json"]
    own = {"PYTHONPATH": "src", "TRUNKLINE_CACHE": str(cache), "TRUNKLINE_THREADS": "1", "RAY_AUTH_MODE": "disabled"}
    for _ in range(4):
        with log.open("w") as errors:
            child = subprocess.Popen(line, env={**os.environ, **own}, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
        until = time.monotonic() + 200
        while child.poll() is None and not of("", str(cache)) and time.monotonic() < until:
            time.sleep(0.1)
        if child.returncode is None or "Ray can't start" not in log.read_text():
            break
        child.communicate()
    with child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.terminate()
