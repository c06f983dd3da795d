"""Where answers are computed: on the event loop if that is surely short, else in a bounded pool."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from trunkline.engines.threads import pool
from trunkline.serve.wire import TooBusyError

T = TypeVar("T")

INLINE_SECONDS = 0.003  # well under the 10 ms that the event loop may ever be held up


@dataclass(frozen=True)
class Limits:
    """When the server says no."""

    body_bytes: int = 10_000_000
    rows: int = 1_000
    waiting: int = 256


class Work:
    """The process's compute pool; `limits.waiting` calls at most are accepted at a time."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._waiting = 0

    async def do(self, job: Callable[[], T], seconds: float = float("inf")) -> T:
        """The job's result; `seconds` is what it may take at most, by measurement. Raises TooBusyError."""
        if seconds <= INLINE_SECONDS:
            return job()
        if self._waiting >= self.limits.waiting:
            raise TooBusyError(
                "too many calls are waiting",
                found=f"{self._waiting} calls",
                wanted=f"fewer than {self.limits.waiting}",
                hint="try again in a second",
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(pool(), job)
        finally:
            self._waiting -= 1
