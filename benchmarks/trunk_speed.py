"""How much faster is the default trunk's precision than 32-bit floats in ONNX Runtime? The few variants of
`trunk_runtime` that come into question, interleaved, the ratio taken within each repeat."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.record import record
from benchmarks.trunk_common import banking, hotel, middle
from benchmarks.trunk_runtime import BASE, CHOSEN, Rows, Runner, write_graphs

NAMES = (BASE, CHOSEN, "openvino w4 (source's blocks), groups of 32", "openvino bf16")
REPEATS = 5


def measure(folder: Path, callers: int, sets: dict[str, Rows]) -> list[dict[str, Any]]:
    runners = {name: Runner(folder, name, callers) for name in NAMES}
    seen: dict[tuple[str, str], list[float]] = {}
    for repeat in range(REPEATS + 1):
        for name, runner in runners.items():
            for key, rows in sets.items():
                start = time.perf_counter()
                rows.run(runner, None, callers)
                rate = len(rows.ids) / (time.perf_counter() - start)
                if repeat:  # the first is a warm-up
                    seen.setdefault((key, name), []).append(rate)
    table = []
    for (key, name), rates in sorted(seen.items()):
        ratios = [mine / base for mine, base in zip(rates, seen[key, BASE], strict=True)]
        table.append({"texts": key, "callers": callers, "variant": name})
        table[-1] |= {"rows/s": middle(rates), "times fp32, paired": middle(ratios, 2)}
    return table


def main() -> None:
    with tempfile.TemporaryDirectory() as temp:
        write_graphs(Path(temp))
        sets = {"English, banking77": Rows(banking()[:128]), "Chinese, hotel": Rows(hotel(24))}
        table = [row for callers in (1, 2) for row in measure(Path(temp), callers, sets)]
    record(
        "trunk_speed",
        "The default trunk's precision against 32-bit floats in ONNX Runtime",
        table,
        spread=f"median (lowest-highest) of {REPEATS} interleaved repeats",
        note="Embedding look-up included, tokenizer not.",
        packages=("onnxruntime", "openvino"),
    )


if __name__ == "__main__":
    main()
