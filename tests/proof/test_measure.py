"""Timing of single calls, and the machine's own words."""

from __future__ import annotations

import time
from collections.abc import Sequence

from trunkline.proof import machine, measure_latency


def test_latency_counts_calls_of_one_row_and_tells_waiting_from_work() -> None:
    seen: list[int] = []

    def answer(rows: Sequence[int]) -> None:
        seen.extend(rows)
        time.sleep(0.002)

    found = measure_latency(answer, [1, 2, 3], n=10)
    assert found.n == 10
    assert len(seen) == 13
    assert 2 <= found.p50_ms <= found.p95_ms
    assert found.cpu_ms is not None
    assert found.cpu_ms < found.p50_ms
    assert found.rows_per_s < 500


def test_no_rows_no_latency() -> None:
    assert measure_latency(lambda rows: None, []).n == 0


def test_machine() -> None:
    assert set(machine()) == {"processor", "cores", "memory", "system", "python"}
    assert int(machine()["cores"]) >= 1
