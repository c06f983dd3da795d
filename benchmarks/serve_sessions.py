"""20 products on one shared engine against 20 plain sessions of the same encoder, side by side.

    python -m benchmarks.serve_sessions [--seconds 4] [--runs 3] [--trunks minilm e5-small]

Plain: one Starlette and uvicorn process as ours, each product with an OpenVINO session of the same graph, a tokenizer
and a head of its own; a request is one encode and one head, in a pool as wide as the cores, nothing batched. On
the first trunk named also with 1, 5 and 10 products. Needs wrk, which shares the cores.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers.fleet import CONNECTIONS, Fleet, failures, rounds, spread, table
from benchmarks.peers.stacks import OURS, PLAIN
from benchmarks.record import record
from benchmarks.serving import PACKAGES

SIZES = {PLAIN.name: (1, 5, 10)}
TARGET = "memory at least 4.5 (MiniLM), rows/s at least 1.4"
NOTE = (
    "Same graph, precision, tokenizer and heads on both sides: every product of both was asked once and answered the same "
    f"(scores within 1e-5) before the load. {CONNECTIONS} connections, one row a call, products in turn, texts of banking77's "
    "test rows, equal inputs not shared. Plain: one thread a session. wrk ran on the same cores."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--trunks", nargs="*", default=["minilm", "e5-small"])
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # the servers end with it
    lines: list[dict[str, Any]] = []
    note = NOTE
    for trunk in asked.trunks:
        with tempfile.TemporaryDirectory() as temp:
            sizes = SIZES if trunk == asked.trunks[0] else {}
            fleet = Fleet(Path(temp), trunk)
            found = rounds(fleet, (OURS, PLAIN), asked.runs, asked.seconds, sizes)
        lines += table(trunk, found, OURS.name, TARGET)
        note += failures(fleet)
    print(record("serve_sessions", "Twenty products on one engine against twenty plain sessions", lines,
                 spread=spread(asked.runs, asked.seconds), note=note, packages=(*PACKAGES, "openvino")))  # fmt: skip


if __name__ == "__main__":
    main()
