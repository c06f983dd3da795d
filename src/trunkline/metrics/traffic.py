"""What the traffic of one version measured: counts, and the figures that rules of [rollout] may name.

Shares carry Wilson's 95 % interval. A latency quantile is read from a histogram whose buckets grow by 5 %; its
interval is the quantiles at the ends of Wilson's interval of the quantile's own share (order statistics; see
Conover 1999, "Practical Nonparametric Statistics", 3.2). Rows of one request count as independent.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Annotated, Any, Self, TypeAlias

import msgspec

from trunkline.metrics.wilson import wilson
from trunkline.types import Estimate, Refused

_GROWTH, _FIRST_MS = 1.05, 0.01
_BUCKETS = 400  # up to 0.01 ms * 1.05^400, about 50 minutes
_NONE = Refused("not_measured", "no such row or request was seen yet")

SHARES = ("error_rate", "agreement", "answered")
LATENCIES = {"latency_p50_ms": 0.5, "latency_p95_ms": 0.95, "latency_p99_ms": 0.99}
COUNTS = ("requests", "rows", "errors", "compared", "dropped")
_SUMS = (*COUNTS, "answered", "agreed")  # all that adds up, but for the latencies
ENDS = ("", ".low", ".high")


def known_figures() -> list[str]:
    """Every figure that a rule of [rollout] may name."""
    return [*COUNTS, *(name + end for name in (*SHARES, *LATENCIES) for end in ENDS)]


_Bucket: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=_BUCKETS)]


class Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The counts of one version, to be kept or sent. `buckets`: those of the latencies that hold any."""

    requests: int = 0
    errors: int = 0
    rows: int = 0
    answered: int = 0
    compared: int = 0
    agreed: int = 0
    dropped: int = 0
    buckets: dict[_Bucket, int] = {}


class Counts:
    """Of one version, since its roll-out began. Thread-safe."""

    def __init__(self) -> None:
        self.requests = self.errors = 0  # calls, and those that broke as a whole or on a row
        self.rows = self.answered = 0  # rows, and those with status ok
        self.compared = self.agreed = 0  # rows that another version answered too
        self.dropped = 0  # requests that were not compared, since the server was busy
        self._buckets = [0] * _BUCKETS
        self._lock = threading.Lock()

    def request(self, answers: Sequence[Mapping[str, Any]], seconds: float) -> None:
        """One answered call; a row on which the product broke makes it an error."""
        with self._lock:
            self.requests += 1
            self.errors += any(answer.get("error") == "broken" for answer in answers)
            self.rows += len(answers)
            self.answered += sum(answer["status"] == "ok" for answer in answers)
            self._buckets[_bucket(seconds * 1000)] += 1

    def failure(self) -> None:
        """One call that broke; it has no latency."""
        with self._lock:
            self.requests += 1
            self.errors += 1

    def comparison(self, agreed: Sequence[bool]) -> None:
        with self._lock:
            self.compared += len(agreed)
            self.agreed += sum(agreed)

    def drop(self) -> None:
        with self._lock:
            self.dropped += 1

    def any(self) -> bool:
        """Was anything counted?"""
        with self._lock:
            return any(getattr(self, name) for name in _SUMS)

    def add(self, more: Counts) -> None:
        """What was counted of the same version elsewhere."""
        self.add_plain(more.plain())

    def add_plain(self, plain: Plain) -> None:
        with self._lock:
            for name in _SUMS:
                setattr(self, name, getattr(self, name) + getattr(plain, name))
            for at, n in plain.buckets.items():
                self._buckets[at] += n

    def take(self) -> Counts:
        """What was counted so far; counting begins anew."""
        taken = Counts()
        with self._lock:
            for name in _SUMS:
                setattr(taken, name, getattr(self, name))
                setattr(self, name, 0)
            taken._buckets, self._buckets = self._buckets, taken._buckets
        return taken

    def plain(self) -> Plain:
        with self._lock:
            buckets = {at: n for at, n in enumerate(self._buckets) if n}
            return Plain(**{name: getattr(self, name) for name in _SUMS}, buckets=buckets)

    @classmethod
    def of_plain(cls, plain: Plain) -> Self:
        counts = cls()
        counts.add_plain(plain)
        return counts

    def shares(self) -> dict[str, Estimate]:
        """error_rate of requests, agreement of compared rows, answered of rows; those that were measured."""
        with self._lock:
            parts = {
                "error_rate": (self.errors, self.requests),
                "agreement": (self.agreed, self.compared),
                "answered": (self.answered, self.rows),
            }
        return {name: _share(k, n) for name, (k, n) in parts.items() if n}

    def latencies(self) -> dict[str, Estimate]:
        """Milliseconds, each a bucket's upper end: true within 5 %."""
        with self._lock:
            buckets = list(self._buckets)
        n = sum(buckets)
        return {name: _quantile(buckets, share, n) for name, share in LATENCIES.items()} if n else {}

    def figures(self) -> dict[str, float | Refused]:
        """Every known figure; what wasn't measured is Refused."""
        found: dict[str, float | Refused] = dict.fromkeys(known_figures(), _NONE)
        found |= {name: float(getattr(self, name)) for name in COUNTS}
        for name, estimate in (self.shares() | self.latencies()).items():
            found |= {name: estimate.value, f"{name}.low": estimate.low, f"{name}.high": estimate.high}
        return found

    def as_dict(self) -> dict[str, Any]:
        """Counts, and each share and latency as {"value", "low", "high", "n"}, None where not measured."""
        found: dict[str, Any] = {name: getattr(self, name) for name in COUNTS}
        measured = self.shares() | self.latencies()
        for name in (*SHARES, *LATENCIES):
            one = measured.get(name)
            found[name] = one and {"value": one.value, "low": one.low, "high": one.high, "n": one.n}
        return found


def _share(k: int, n: int) -> Estimate:
    return Estimate(k / n, *wilson(k / n, n), n)


def _bucket(ms: float) -> int:
    return min(_BUCKETS - 1, max(0, math.ceil(math.log(max(ms, _FIRST_MS) / _FIRST_MS, _GROWTH))))


def _quantile(buckets: Sequence[int], share: float, n: int) -> Estimate:
    low, high = wilson(share, n)
    return Estimate(_at(buckets, share * n), _at(buckets, low * n), _at(buckets, high * n), n)


def _at(buckets: Sequence[int], rank: float) -> float:
    """The upper end of the bucket that holds the row of a rank (at most their number)."""
    sums = accumulate(buckets)
    bucket = next(i for i, seen in enumerate(sums) if seen and seen >= rank - 1e-9)
    return float(_FIRST_MS * _GROWTH**bucket)
