"""The server on a table: German credit, calls a second, first answer, memory.

    python -m benchmarks.serve_table [--seconds 8] [--runs 3]

Needs wrk. wrk and the server share the machine's cores. Targets: 1,000 calls/s at 16 connections (a
hand-written scikit-learn + FastAPI server: 216), first answer within 1.2 s.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from benchmarks.record import record, spread_of
from benchmarks.serving import PACKAGES, Load, bodies, served, trained

SET = "german_credit"
NUMBERS = (
    "duration_months",
    "credit_amount",
    "installment_rate_pct",
    "residence_since",
    "age",
    "existing_credits",
    "dependents",
)
TARGETS = {"16 connections, 1 rows a call: calls/s": "1000", "first answer, s": "1.2"}
SHAPES = ((1, 1), (16, 1), (16, 16))  # (connections, rows a call)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    loads: dict[tuple[int, int], list[Load]] = {shape: [] for shape in SHAPES}
    first, memory = [], []
    with trained("credit", SET) as folder:
        for _ in range(asked.runs):  # interleaved: a busy neighbour slows all alike
            with served(folder, "credit", bodies(SET, "risk", 1, NUMBERS)[0]) as server:
                first.append(server.first_answer_s)
                for (connections, rows), found in loads.items():
                    calls = bodies(SET, "risk", rows, NUMBERS)
                    found.append(server.load(calls, connections, asked.seconds))
                memory.append(server.pss_mb())
    print(record("serve_table", "The server on a table: German credit", table(loads, first, memory, TARGETS),
                 spread=f"median (lowest-highest) of {asked.runs} servers, {asked.seconds} s each",
                 note="wrk ran on the same cores. The target is calls/s at 16 connections, one row a call.",
                 packages=PACKAGES))  # fmt: skip


def table(
    loads: Mapping[tuple[int, int], Sequence[Load]],
    first: Sequence[float],
    memory: Sequence[float],
    targets: Mapping[str, str],
) -> list[dict[str, str]]:
    """One line a figure; `targets` by the line's name."""
    lines: dict[str, str] = {}
    for (connections, rows_a_call), found in loads.items():
        what = f"{connections} connections, {rows_a_call} rows a call"
        lines[f"{what}: calls/s"] = spread_of([one.per_s for one in found], 1.0)
        lines[f"{what}: p50, ms"] = spread_of([one.p50_ms for one in found], 1.0, 2)
        lines[f"{what}: p99, ms"] = spread_of([one.p99_ms for one in found], 1.0, 2)
        lines[f"{what}: failed calls"] = str(sum(one.errors for one in found))
    lines["first answer, s"] = spread_of(first, 1.0, 2)
    lines["memory after load, PSS MB"] = spread_of(memory, 1.0)
    return [{"what": what, "value": value, "target": targets.get(what, "")} for what, value in lines.items()]


if __name__ == "__main__":
    main()
