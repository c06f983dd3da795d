"""The server on text: banking77 on the default trunk, calls a second, first answer, memory.

    python -m benchmarks.serve_text [--seconds 8] [--runs 3]

Needs wrk, which shares the machine's cores. Bodies are banking77's test rows in turn, never the same
twice running. Targets: first answer within 1.2 s, memory at most 350 MB.
"""

from __future__ import annotations

import argparse

from benchmarks.record import record, spread_of
from benchmarks.serve_table import table
from benchmarks.serving import PACKAGES, Load, bodies, served, trained

SET = "banking77"
TARGETS = {
    "first answer, s": "1.2",
    "memory after load, PSS MB": "350",
    "memory after the first answer, PSS MB": "350",
}
SHAPES = ((1, 1), (16, 1), (16, 16))  # (connections, rows a call)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    loads: dict[tuple[int, int], list[Load]] = {shape: [] for shape in SHAPES}
    first, fresh, memory = [], [], []
    with trained("banking", SET) as folder:
        for _ in range(asked.runs):
            with served(folder, "banking", bodies(SET, "category", 1)[0]) as server:
                first.append(server.first_answer_s)
                fresh.append(server.pss_mb())
                for (connections, rows), found in loads.items():
                    found.append(server.load(bodies(SET, "category", rows), connections, asked.seconds))
                memory.append(server.pss_mb())
    lines = table(loads, first, memory, TARGETS)
    fresh_line = "memory after the first answer, PSS MB"
    lines.append({"what": fresh_line, "value": spread_of(fresh, 1.0), "target": TARGETS[fresh_line]})
    print(record("serve_text", "The server on text: banking77, default trunk", lines,
                 spread=f"median (lowest-highest) of {asked.runs} servers, {asked.seconds} s each",
                 note="wrk ran on the same cores; calls are not merged across requests in this first form.",
                 packages=PACKAGES))  # fmt: skip


if __name__ == "__main__":
    main()
