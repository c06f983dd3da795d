"""Marks by which a process says that something is its own, and others on the machine see whether it still lives.

A mark is 32 characters: which machine and container, which process there, since when, and a number of its own.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from functools import cache
from itertools import count
from pathlib import Path

_PLACE, _PROCESS = 8, 16  # characters
_PROC = Path("/proc")
_numbers = count()


def new_mark() -> str:
    """A mark of this process that nobody else has."""
    if not _place():
        return secrets.token_hex(16)
    return f"{_place()}{_process(os.getpid())}{next(_numbers) % 2**32:08x}"


def holder_is_gone(mark: str) -> bool:
    """Was it made here by a process that ended? False where that can't be known from here."""
    if not _place() or mark[:_PLACE] != _place():
        return False
    process = mark[_PLACE : _PLACE + _PROCESS]
    return _process(int(process[:8], 16)) != process


@cache
def _place() -> str:
    """This machine since it was started, and the container, whose process numbers are its own. Empty on systems
    that don't tell: then no mark says who made it."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii")
        container = os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return ""
    return hashlib.sha256(f"{boot}{container}{socket.gethostname()}".encode()).hexdigest()[:_PLACE]


def _process(pid: int) -> str:
    """Number and start of a process, so that one which has its number later isn't taken for it; no start for one
    that is gone."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else f"{pid:08x}{int(fields[19]) % 2**32:08x}"
