"""Render docs/scale-serving.md: what a month of rows needs, reckoned from what was measured.

    python -m benchmarks.scale_page [--check]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from benchmarks.page import HERE, table

PAGE = HERE.parent / "docs" / "scale-serving.md"
MONTHS = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)  # rows
SECONDS = 30 * 86_400
PEAK = 10  # times the mean, in the busiest minutes
FULL = 0.5  # of what the cores can do, at the peak: there the tail was measured
CORES = 2  # of a machine, as measured
PRICE = 0.04  # dollars a core and hour
HOURS = 730  # of a month


@dataclass(frozen=True)
class Figures:
    """Of one machine of 2 cores, e5-small."""

    one: float  # rows a second: one product, a row a call
    many: float  # 100 products in turn
    matrix_ms: float  # one text to 100 products
    tail_ms: float  # p99 at half load
    english: float  # rows a second, encoded in bulk
    chinese: float
    table: float  # calls a second on a table
    memory: float  # MB with 100 products
    worker: float  # MB of a further process


def figures(results: Path = HERE / "results") -> Figures:
    core = {(row["trunk"], row["what"]): row["value"] for row in _rows(results, "serve_core")}
    encode = {row["texts"].split(",")[0]: row["ours, rows/s"] for row in _rows(results, "trunk_encode")}
    calls = {row["what"]: row["value"] for row in _rows(results, "serve_table")}
    memory = {row["products"]: row["memory, PSS MB"] for row in _rows(results, "matrix")}
    workers = {row["workers"]: row["each further worker, MB"] for row in _rows(results, "worker_memory")}
    told = (
        core["e5-small", "one product, 1 rows a call, rows/s"], core["e5-small", "100 products in turn, 1 row a call, rows/s"],
        core["e5-small", "one text to 100 products, ms"], core["e5-small", "p99 at half load, ms"],
        encode["English"], encode["Chinese"], calls["16 connections, 1 rows a call: calls/s"], memory[100], workers[2],
    )  # fmt: skip
    return Figures(*(float(re.match(r"[\d.]+", value)[0]) for value in told))  # type: ignore[index]


def _rows(results: Path, name: str) -> list[dict[str, Any]]:
    return list(json.loads((results / f"{name}.json").read_text(encoding="utf-8"))["rows"])


def month(rows: int, found: Figures) -> Mapping[str, str]:
    """A line of the table: live rows, spread over 100 products."""
    mean = rows / SECONDS
    peak = PEAK * mean
    longer = found.chinese / found.english
    english, chinese = machines(peak, found.many), machines(peak, found.many * longer)
    return {
        "rows a month": f"{rows:,}",
        "mean, rows/s": f"{mean:.3g}",
        "peak, rows/s": f"{peak:.3g}",
        "machines, English": str(english),
        "machines, Chinese": str(chinese),
        "$ a month": _span(cost(english), cost(chinese), "{:,.0f}"),
        "$ a million rows": _span(cost(english) / rows * 1e6, cost(chinese) / rows * 1e6, "{:,.2f}"),
        "or as bulk jobs, hours": _span(rows / found.english / 3600, rows / found.chinese / 3600, "{:,.2g}" if rows < 1e7 else "{:,.0f}"),
    }


def machines(peak: float, capacity: float) -> int:
    """Of 2 cores, so that the peak finds them at most half busy."""
    return max(1, ceil(peak / (FULL * capacity)))


def cost(count: int) -> float:
    return count * CORES * HOURS * PRICE


def _span(low: float, high: float, form: str) -> str:
    one, two = form.format(low), form.format(high)
    return one if one == two else f"{one} to {two}"


def page(results: Path = HERE / "results") -> str:
    found = figures(results)
    text = (HERE / "scale_page.txt").read_text(encoding="utf-8")
    longer = found.english / found.chinese
    bends = FULL * found.many
    values = {
        "table": "\n".join(table([month(rows, found) for rows in MONTHS])),
        "one": f"{found.one:.0f}", "many": f"{found.many:.0f}", "tail": f"{found.tail_ms:.0f}", "longer": f"{longer:.1f}",
        "english": f"{found.english:.0f}", "chinese": f"{found.chinese:.0f}", "calls": f"{found.table:,.0f}",
        "matrix": f"{found.matrix_ms:.0f}", "texts": f"{1000 / found.matrix_ms:.0f}", "memory": f"{found.memory:.0f}",
        "worker": f"{found.worker:.0f}", "price": f"{PRICE:.2f}", "machine": f"{cost(1):.0f}", "peak": str(PEAK),
        "half": f"{bends:.0f}", "half_zh": f"{bends / longer:.0f}",
        "month": f"{bends / PEAK * SECONDS / 1e6:.0f}", "month_zh": f"{bends / longer / PEAK * SECONDS / 1e6:.1f}",
        "bulk": f"{found.english * SECONDS / 1e6:,.0f}", "bulk_zh": f"{found.chinese * SECONDS / 1e6:,.0f}",
    }  # fmt: skip
    return re.sub(r"\{(\w+)\}", lambda name: values[name[1]], text)


def main() -> None:
    made = page()
    if "--check" in sys.argv[1:]:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == made else f"{PAGE} is not current: python -m benchmarks.scale_page")
    PAGE.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
