"""Which batches, and how many threads at a time, suit an engine on this machine: a short run of generated items.

Batches are judged by processor time a row: that is what decides how much a busy server answers, and it changes
little while other processes take turns. Threads are judged by the clock. Of what is about as fast as the fastest the
smallest batch and the fewest threads are taken: a call waits for whoever is computed before it.
"""

from __future__ import annotations

import copy
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import product
from statistics import mean
from time import perf_counter, process_time
from typing import Any, cast

import numpy as np

from trunkline.engines.batching import Batch
from trunkline.engines.settings import MEASURED, Record, Settings, Tunable, machine, measured_card
from trunkline.engines.threads import run_all, threads_by_hand, workers
from trunkline.types import Call, Engine

ROWS, TOKENS = (1, 2, 4, 8, 16), (64, 128, 256)  # more tokens cost memory, and it stays: 15 MB at 512
CLOSE = 1.03  # times the best counts as the best
AIM_SECONDS, LIMIT_SECONDS = 0.8, 1.8  # repeats until; given up after
_THREADS_SECONDS = 0.3  # of those, for the threads
_REPEATS = 5  # at most
_ROUND_SECONDS = 10e-6  # that a batch costs the server besides, measured with an engine that does nothing
_LANE_SECONDS = 0.01  # of work for a thread, so that starting it doesn't count
_QUIET = 0.9  # of a core, that every thread must get
# Windows counts processor time in steps of 16 ms.
_clock = perf_counter if sys.platform == "win32" else process_time

Cells = Mapping[int, Mapping[int, float]]  # cost of an item -> rows in a batch -> seconds a row


class _EndedError(Exception):
    """Somebody calls, others are busy, or time is up."""


def measure(engine: Tunable, stopped: Callable[[], bool] = lambda: False) -> Record | None:
    """What suits a loaded engine here; None where other processes are busy, it was stopped, or it takes too long.

    Takes LIMIT_SECONDS at most, and one batch. `stopped` is asked before every batch: is somebody waiting? Raises
    what the engine raises.
    """
    trial = _Trial(engine, stopped)
    try:
        calls = engine.examples()
        trial.need_quiet()
        cells = trial.batches(calls)
        batch = smallest(cells)
        longest = calls[-1]
        threads, rates = trial.threads(replace(longest, items=longest.items[: batch.room(max(cells))]))
        trial.need_quiet()
    except _EndedError:
        return None
    card = measured_card(engine)
    return Record(
        card.id,
        card.fingerprint,
        machine(card),
        batch.rows,
        batch.tokens,
        threads,
        datetime.now(UTC).isoformat(timespec="seconds"),
        round(perf_counter() - trial.began, 3),
        {str(cost): {str(rows): round(s * 1000, 5) for rows, s in row.items()} for cost, row in cells.items()},
        {str(count): round(max(found), 1) for count, found in rates.items()},
    )


def quiet() -> bool:
    """Does every thread get a core to itself at this moment? Asked with work that needs no engine."""
    block = bytes(1_000_000)
    began, spent = perf_counter(), process_time()
    run_all(lambda _: [hashlib.sha256(block).digest() for _ in range(20)], range(workers()))
    return process_time() - spent >= _QUIET * workers() * (perf_counter() - began)


def smallest(cells: Cells) -> Batch:
    """The smallest batch that is, on average over the costs, within CLOSE of the best. Every cost has one row alone."""
    losses = {}
    for tokens, rows in product(TOKENS, ROWS):
        batch = Batch(rows, tokens)
        if all(batch.room(cost) in found for cost, found in cells.items()):
            losses[batch] = mean(found[batch.room(cost)] / min(found.values()) for cost, found in cells.items())
    return next(batch for batch, loss in losses.items() if loss <= min(losses.values()) * CLOSE)


def fewest(rates: Mapping[int, Sequence[float]]) -> int:
    """The fewest threads that in every repeat were within CLOSE of that repeat's best: noise takes none away.

    rates: threads -> rows a second in each repeat.
    """
    best = [max(repeat) for repeat in zip(*rates.values(), strict=True)]
    close = (n for n, found in sorted(rates.items()) if all(r * CLOSE >= b for r, b in zip(found, best, strict=True)))
    return next(close, max(rates))


@dataclass
class _Trial:
    """One measurement under way, with an engine of its own settings on the same weights."""

    source: Tunable
    stopped: Callable[[], bool]
    began: float = field(default_factory=perf_counter)

    def __post_init__(self) -> None:
        probe = copy.copy(self.source)
        probe.settings = Settings(Batch(max(ROWS), max(TOKENS)), workers(), MEASURED)
        self._engine = cast(Engine, probe)

    def need_quiet(self) -> None:
        if not quiet():
            raise _EndedError

    def batches(self, calls: Sequence[Call]) -> Cells:
        """Every size of each call that its items and TOKENS have room for."""
        share = (AIM_SECONDS - _THREADS_SECONDS) / len(calls)
        cells = {}
        for call in calls:
            cost = self._engine.cost(call.items[0])
            cells[cost] = self._sizes(call, Batch(len(call.items), max(TOKENS)).room(cost), perf_counter() + share)
        return cells

    def threads(self, call: Call) -> tuple[int, dict[int, list[float]]]:
        """(how many, rows a second of each number in each repeat)."""
        if threads_by_hand() or workers() == 1:
            return workers(), {}
        counts = sorted({workers(), *(2**n for n in range(6) if 2**n < workers())})
        began = perf_counter()
        self._run(call)
        times = max(1, int(_LANE_SECONDS / max(perf_counter() - began, 1e-6)))
        rates: dict[int, list[float]] = {count: [] for count in counts}
        for repeat in range(_REPEATS):
            if repeat > 1 and perf_counter() - began > _THREADS_SECONDS:
                break
            for count in counts:
                started = perf_counter()
                run_all(lambda todo: [self._run(one) for one in todo], [[call] * times] * count)
                rates[count].append(count * times * len(call.items) / (perf_counter() - started))
        return fewest(rates), rates

    def _sizes(self, call: Call, most: int, until: float) -> dict[int, float]:
        """Rows in a batch -> processor seconds a row, the best of some repeats; sizes up to `most`."""
        alone = run_all(lambda item: self._run(replace(call, items=[item]))[0], call.items[:most])
        found: dict[int, float] = {}
        for repeat in range(_REPEATS + 1):
            if repeat > 1 and perf_counter() > until:
                break
            for rows in [size for size in ROWS if size <= most]:
                part = replace(call, items=call.items[:rows])
                began = _clock()
                outputs = run_all(self._run, [part] * workers())
                seconds = (_clock() - began) / (workers() * rows) + _ROUND_SECONDS / rows
                if repeat:  # the first time its kernels are made
                    found[rows] = min(found.get(rows, seconds), seconds)
                elif rows > 1 and not _same(outputs[0], alone):
                    most = rows - 1  # on this processor a row would not be what it is alone
                    break
        return {rows: seconds for rows, seconds in found.items() if rows <= most}

    def _run(self, call: Call) -> Any:
        if self.stopped() or perf_counter() > self.began + LIMIT_SECONDS:
            raise _EndedError
        return self._engine.run(call)


def _same(outputs: Any, alone: Sequence[Any]) -> bool:
    pairs = zip(outputs, alone, strict=False)
    return all(np.asarray(one).tobytes() == np.asarray(other).tobytes() for one, other in pairs)
