"""What the versions of a route were measured by, over all processes that serve them.

Each process counts by itself and hands over what it counted to where the product's record is kept: the file beside
it, or the registry's table. So rules see all traffic, of all workers and machines, and `trunkline status` and a
server that starts again do too; nothing is to be merged when a process dies, and no process waits for another.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from trunkline.metrics.traffic import Counts
from trunkline.record import Kept


class Figures:
    """Counting may come from any thread."""

    def __init__(self, versions: Iterable[str]) -> None:
        self._here = {version: Counts() for version in versions}  # not handed over yet
        self._all: Mapping[str, Counts] = {}
        self._handing = threading.Lock()

    def of(self, version: str) -> Counts:
        """To count into."""
        return self._here[version]

    def sum(self, version: str) -> Counts:
        """All that is known here of what all processes counted, this one's newest included."""
        found = Counts()
        with self._handing:
            for counts in (self._all.get(version), self._here[version]):
                if counts is not None:
                    found.add(counts)
        return found

    def hand_over(self, kept: Kept, era: str, ask: bool) -> None:
        """Add what was counted here since the last time, and learn the sums; without anything to add only if `ask`.

        Raises TrunklineError where that can't be done now: what was counted stays here.
        """
        with self._handing:
            taken = {version: counts.take() for version, counts in self._here.items() if counts.any()}
            if not taken and not ask:
                return
            sums = None
            try:
                sums = kept.count(era, taken)
            finally:
                if sums is None:  # it failed, or another era has begun
                    for version, counts in taken.items():
                        self._here[version].add(counts)
            if sums is not None:
                self._all = sums
