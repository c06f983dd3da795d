"""When the server says no: too large, too many at once, too late."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from trunkline.serve.wire import CallerBusyError, TooBusyError, WrongRequestError

_DIGITS = 9  # of milliseconds; int() refuses thousands of them with an error of its own
_SHARE = 0.5  # of the places, that one caller's organisation may hold while others could want them


@dataclass(frozen=True)
class Limits:
    """waiting: calls accepted at a time; seconds: how long one may take unless it says otherwise.

    job_bytes: of the file of a bulk job; jobs: that an organisation may have which haven't ended.
    """

    body_bytes: int = 10_000_000
    rows: int = 1_000
    waiting: int = 256
    seconds: float = 30.0
    job_bytes: int = 10_000_000_000
    jobs: int = 100

    def deadline(self, header: str | None, now: float) -> float:
        """When a call of this moment is too late: `x-timeout-ms` may shorten it. Raises WrongRequestError."""
        if header is None:
            return now + self.seconds
        if not (header.isascii() and header.isdigit() and len(header) <= _DIGITS and int(header)):
            raise WrongRequestError(
                "the header x-timeout-ms can't be read", found=header[:40], wanted=f"whole milliseconds, 1 to {'9' * _DIGITS}"
            )
        return now + min(self.seconds, int(header) / 1000)


class Admission:
    """Counts the calls under way. Used on the event loop only."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.total = 0
        self.last = float("-inf")  # when a call was last let in, by `time.monotonic`
        self.idle = asyncio.Event()  # no call is under way
        self.idle.set()
        self._held: Counter[str] = Counter()

    @contextmanager
    def place(self, organisation: str) -> Iterator[None]:
        """Held while a call is under way. Raises TooBusyError, or CallerBusyError where others have room."""
        limit = self.limits.waiting
        if self.total >= limit:
            raise TooBusyError(
                "too many calls are waiting", found=f"{self.total} calls", wanted=f"fewer than {limit}",
                hint="again in a second",
            )  # fmt: skip
        if organisation and self._held[organisation] >= max(1, int(limit * _SHARE)):
            raise CallerBusyError(
                "this organisation has too many calls waiting",
                found=f"{self._held[organisation]} calls",
                wanted=f"fewer than {int(limit * _SHARE)}",
                hint="again in a second, with fewer calls at a time",
            )
        self.total += 1
        self.last = monotonic()
        self.idle.clear()
        self._held[organisation] += 1
        try:
            yield
        finally:
            self.total -= 1
            if not self.total:
                self.idle.set()
            self._held[organisation] -= 1
            if not self._held[organisation]:
                del self._held[organisation]
