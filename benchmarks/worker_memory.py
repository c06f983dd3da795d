"""What each further worker process costs in memory, and what processes cost or bring in speed.

    python -m benchmarks.worker_memory [--runs 3]

One product (the shipped support sample on the default trunk), served by 1, 2 and 4 workers in turns. Memory is
taken after a load that every worker had a share of. Needs wrk.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.record import record, spread_of
from benchmarks.serving import PACKAGES, Server
from benchmarks.startup import free_port
from benchmarks.trunk_common import banking

from trunkline.init import init_from_template
from trunkline.product import Product

COUNTS = (1, 2, 4)
CONNECTIONS, SECONDS = 32, 4


@dataclass(frozen=True)
class Seen:
    """One server: 10^6 bytes, seconds, calls a second."""

    parent: float  # 0 with one worker, which has none
    total: float
    private: float  # of one worker: what it shares with nobody
    first_answer: float
    per_s: float
    p99_ms: float


def workers_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def megabytes(pid: int, *keys: str) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(keys)) * 1024 / 1e6


@contextmanager
def served(folder: Path, count: int, body: str) -> Iterator[Server]:
    """A server whose workers are all up."""
    port = free_port()
    code = f"from pathlib import Path\nfrom trunkline.serve.run import serve\nserve(Path({str(folder)!r}), port={port}, workers={count})"
    url, began = f"http://127.0.0.1:{port}/v1/products/support/predict", time.perf_counter()
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=log)
        try:
            while not answers(url, body):
                assert process.poll() is None, "the server ended"
                time.sleep(0.005)
            first = time.perf_counter() - began
            until = time.monotonic() + 60
            while count > 1 and (folder / "log").read_text().count("a worker is ready") < count:
                assert time.monotonic() < until, "a worker didn't start"
                time.sleep(0.05)
            yield Server(process.pid, url, first)
        finally:
            process.terminate()
            process.wait(30)


def answers(url: str, body: str) -> bool:
    done = subprocess.run(["curl", "-sf", "-o", "/dev/null", "-d", body, url], check=False)
    return done.returncode == 0


def measure(folder: Path, count: int, bodies: Sequence[str]) -> Seen:
    with served(folder, count, bodies[0]) as server:
        server.load(bodies, CONNECTIONS, 1)
        load = server.load(bodies, CONNECTIONS, SECONDS)
        assert not load.errors, load
        workers = workers_of(server.pid) if count > 1 else [server.pid]
        parent = megabytes(server.pid, "Pss:") if count > 1 else 0.0
        total = parent + sum(megabytes(pid, "Pss:") for pid in workers)
        private = max(megabytes(pid, "Private_Clean:", "Private_Dirty:") for pid in workers)
        return Seen(parent, total, private, server.first_answer_s, load.per_s, load.p99_ms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    bodies = [json.dumps({"row": {"text": text}}) for text in banking()[:2000]]
    found: dict[int, list[Seen]] = {count: [] for count in COUNTS}
    with tempfile.TemporaryDirectory() as temp:
        init_from_template(Path(temp) / "support", "support", "intent")
        Product(Path(temp) / "support").train()
        for _ in range(runs):
            for count in COUNTS:
                found[count].append(measure(Path(temp), count, bodies))
    rows = []
    for count in COUNTS:
        seen, alone = found[count], found[1]
        further = [
            (one.total - one.parent - base.total) / (count - 1) if count > 1 else 0.0
            for one, base in zip(seen, alone, strict=True)
        ]
        rows.append(
            {
                "workers": count,
                "all processes, MB (PSS)": spread_of([one.total for one in seen], 1.0),
                "each further worker, MB": spread_of(further, 1.0) if count > 1 else "",
                "parent, MB": spread_of([one.parent for one in seen], 1.0) if count > 1 else "",
                "private of a worker, MB": spread_of([one.private for one in seen], 1.0),
                "calls/s": spread_of([one.per_s for one in seen], 1.0),
                "p99, ms": spread_of([one.p99_ms for one in seen], 1.0),
                "first answer, ms": spread_of([one.first_answer for one in seen]),
            }
        )
    path = record(
        "worker_memory",
        "Several workers: memory of each, and speed",
        rows,
        spread=f"median (lowest-highest) of {runs} servers, in turns; {SECONDS} s of wrk, {CONNECTIONS} connections, 1 row a call",
        note="Word embeddings are mapped files, so all workers share them; the cores are divided among the workers' "
        "compute threads. wrk ran on the same cores.",
        packages=PACKAGES,
    )
    print(path)


if __name__ == "__main__":
    main()
