"""The folder in which several processes count together, as mapped files: in memory, since a process that writes
into a mapped file on a full disk is killed by the system (SIGBUS), and all of them would be, one after another."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import time

MEMORY = Path("/dev/shm")
_PREFIX = "trunkline-meters-"
_LOCK = "lock"
_YOUNG = 60.0  # seconds: one that was made just now may not be held yet


@contextlib.contextmanager
def counters_folder() -> Iterator[Path]:
    """An empty folder for as long as this process lives; what killed ones left is removed."""
    home = MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    _sweep(home)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=home) as folder, (Path(folder) / _LOCK).open("w") as lock:
        _hold(lock.fileno())
        yield Path(folder)


def _sweep(home: Path) -> None:
    for lock in home.glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError), lock.open("r") as file:  # held by a server, or another user's
            _hold(file.fileno())
            if time() - lock.stat().st_mtime > _YOUNG:
                shutil.rmtree(lock.parent, ignore_errors=True)


def _hold(file: int) -> None:
    """Until it is closed. Raises BlockingIOError where another process has it."""
    import fcntl  # several workers can't be had on Windows

    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
