"""A machine's choice: what it may choose, and that it stops for whoever calls."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.engines import measure as measuring
from trunkline.engines.batching import Batch
from trunkline.engines.measure import CLOSE, LIMIT_SECONDS, ROWS, TOKENS, fewest, measure, quiet, smallest
from trunkline.engines.settings import Settings
from trunkline.engines.threads import workers
from trunkline.types import Call, EngineCard


class Clockwork:
    """Says that it took `batch` seconds of processor time a batch and `row` more a row."""

    spent = 0.0  # by all of them
    _lock = threading.Lock()

    card = EngineCard("clockwork", "f" * 32, "text", ("pooled",), 1, "CC0", "made up", runtime="numpy")

    def __init__(self, batch: float = 0.0, row: float = 0.0, mixes: int = 1_000) -> None:
        self.batch, self.row, self.mixes = batch, row, mixes
        self.settings = Settings()

    def examples(self) -> list[Call]:
        return [Call("trunk:clockwork", ["x" * cost + str(i) for i in range(16)]) for cost in (15, 63)]

    def cost(self, item: str) -> int:
        return len(item) // 16 * 16 or 16

    def run(self, call: Call) -> Any:
        with Clockwork._lock:
            Clockwork.spent += self.batch + self.row * len(call.items)
        return np.full((len(call.items), 1), float(len(call.items) >= self.mixes))

    def stream(self, call: Call) -> Iterator[Any]:
        yield self.run(call)


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nobody else computed here, by the engine's own clock, and with the time that busy neighbours may cost."""
    monkeypatch.setattr(measuring, "_clock", lambda: Clockwork.spent)
    monkeypatch.setattr(measuring, "quiet", lambda: True)
    monkeypatch.setattr(measuring, "LIMIT_SECONDS", 60.0)


CELLS = st.fixed_dictionaries(
    {cost: st.fixed_dictionaries({rows: st.floats(1e-6, 1.0) for rows in ROWS if rows * cost <= max(TOKENS)}) for cost in (8, 16, 64)}
)


@given(CELLS)
def test_what_is_chosen_is_in_bounds_close_to_the_best_and_nothing_smaller_is(cells: dict[int, dict[int, float]]) -> None:
    def loss(batch: Batch) -> float:
        return float(np.mean([found[batch.room(cost)] / min(found.values()) for cost, found in cells.items()]))

    chosen, all_of_them = smallest(cells), [Batch(rows, tokens) for tokens in TOKENS for rows in ROWS]
    assert chosen in all_of_them
    least = min(map(loss, all_of_them))
    assert loss(chosen) <= least * CLOSE * (1 + 1e-9)
    assert all(loss(other) > least * CLOSE * (1 - 1e-9) for other in all_of_them[: all_of_them.index(chosen)])


def test_a_size_that_was_not_measured_is_not_chosen() -> None:
    assert smallest({16: {1: 1.0}, 64: {1: 1.0, 2: 0.1}}).rows == 1


@given(st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(st.floats(1, 1e6), min_size=n, max_size=n), min_size=1, max_size=5)))
def test_threads_are_taken_away_only_where_no_repeat_speaks_against_it(rates: list[list[float]]) -> None:
    by_count = {2**at: row for at, row in enumerate(rates)}
    chosen = fewest(by_count)
    assert chosen in by_count
    best = [max(repeat) for repeat in zip(*rates, strict=True)]
    if chosen != max(by_count):
        assert all(one * CLOSE >= top for one, top in zip(by_count[chosen], best, strict=True))
    assert fewest({1: [100, 50], 2: [100, 100]}) == 2
    assert fewest({1: [99, 98], 2: [100, 100]}) == 1


@pytest.mark.usefixtures("calm")
def test_batches_are_large_where_that_pays_and_small_where_it_does_not() -> None:
    pays = measure(Clockwork(batch=0.004, row=0.0002))
    assert pays is not None
    assert (pays.rows, pays.tokens) == (16, 256)
    assert set(pays.row_ms) == {"16", "64"}
    free = measure(Clockwork(row=0.002))
    assert free is not None
    assert (free.rows, free.tokens) == (1, min(TOKENS))


@pytest.mark.usefixtures("calm")
def test_a_size_at_which_rows_are_not_what_they_are_alone_is_out() -> None:
    found = measure(Clockwork(batch=0.004, mixes=8))
    assert found is not None
    assert found.settings.batch.room(16) == 4
    assert max(map(int, found.row_ms["16"])) == 4


@pytest.mark.usefixtures("calm")
def test_it_stops_for_whoever_calls_and_leaves_the_engine_as_it_was() -> None:
    engine = Clockwork(batch=0.001)
    before, asked = engine.settings, iter(range(1_000))
    assert measure(engine, lambda: next(asked) > 20) is None
    assert engine.settings is before
    began = time.perf_counter()
    assert measure(engine, lambda: True) is None
    assert time.perf_counter() - began < 1


def test_it_gives_up_in_time_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "quiet", lambda: True)

    def slow(self: Clockwork, call: Call) -> Any:
        time.sleep(0.2)
        return np.zeros((len(call.items), 1))

    monkeypatch.setattr(Clockwork, "run", slow)
    began = time.perf_counter()
    assert measure(Clockwork()) is None
    assert time.perf_counter() - began < LIMIT_SECONDS + 5  # a batch, of a machine that others use


def test_a_busy_machine_is_seen() -> None:
    code = "import time\nuntil = time.monotonic() + 30\nwhile time.monotonic() < until: pass"
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3 * workers())]
    try:
        time.sleep(0.5)
        assert not quiet()
        assert measure(Clockwork()) is None
    finally:
        for process in others:
            process.kill()
            process.wait(10)


@pytest.mark.usefixtures("calm")
def test_threads_by_hand_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_THREADS", "2")
    found = measure(Clockwork(row=0.0001))
    assert found is not None
    assert (found.threads, found.rows_per_s) == (2, {})
    assert found.machine["threads"] == "2"
