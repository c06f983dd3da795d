"""What serving keeps while trainings run beside it: alone, beside the queue's, beside as many started by hand.

python -m benchmarks.queue_share; needs wrk and the `train` extra. In each round the three are measured in turn, by live
calls of texts that were never heard; trainings that it isn't the turn of are stopped, not ended.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
from benchmarks.bulk_jobs import unheard
from benchmarks.matrix import copy
from benchmarks.record import record, spread_of
from benchmarks.serve_core import learned, unshared
from benchmarks.serving import DATA, PACKAGES, Load, Server, served

CONNECTIONS = 16
BEGUN_SECONDS = 120
WAYS = {"": "alone", "queue": "trainings in the queue", "hand": "the same trainings by hand"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8)
    asked = parser.parse_args()
    cores, texts = len(os.sched_getaffinity(0)), unheard()
    with tempfile.TemporaryDirectory() as temp, ExitStack() as stack:
        root = Path(temp)
        bundle = learned(root / "learned", "e5-small", "auto")
        copy(bundle, root / "served", "p0", unshared(bundle.spec))
        server = stack.enter_context(served(root / "served", "p0", body(next(texts))))
        beside = {"queue": stack.enter_context(queued(root / "queue", cores)), "hand": stack.enter_context(by_hand(root / "hand", cores))}
        rounds = [one_round(server, beside, texts, asked.seconds) for _ in range(asked.runs)]
    print(record(
        "queue_share", "Serving beside trainings", [row(way, rounds) for way in WAYS],
        spread=f"median (lowest-highest) of {asked.runs} rounds of {asked.seconds} s each; in a round the three were measured in turn",
        note=f"{cores} trainings of a core each (an LSTM on hotel reviews) on {cores} cores; {CONNECTIONS} connections, one"
        " new text a call. By hand: nice 0, each in a session of its own, as started from another terminal.",
        packages=(*PACKAGES, "openvino", "torch"),
    ))  # fmt: skip


def body(text: str) -> str:
    return json.dumps({"rows": [{"text": text}]})


def one_round(server: Server, beside: dict[str, list[psutil.Process]], texts: Iterator[str], seconds: int) -> dict[str, tuple[Load, float]]:
    """For each way what wrk saw, and the share of a core that each training had."""
    found = {}
    for way in WAYS:
        trainings = beside.get(way, [])
        for process in trainings:
            process.resume()
        before = [used(process) for process in trainings]
        load = server.load([body(next(texts)) for _ in range(1_000 * seconds)], CONNECTIONS, seconds)
        shares = [(used(process) - b) / seconds for process, b in zip(trainings, before, strict=True)]
        for process in trainings:
            process.suspend()
        found[way] = (load, sum(shares))
    return found


def used(process: psutil.Process) -> float:
    told = process.cpu_times()
    return float(told.user + told.system)


def row(way: str, rounds: Sequence[dict[str, tuple[Load, float]]]) -> dict[str, Any]:
    loads = [found[way][0] for found in rounds]
    return {
        "beside": WAYS[way], "rows/s": spread_of([load.per_s for load in loads], 1),
        "share of alone": spread_of([load.per_s / found[""][0].per_s for load, found in zip(loads, rounds, strict=True)], 1, 2),
        "p50 ms": spread_of([load.p50_ms for load in loads], 1), "p99 ms": spread_of([load.p99_ms for load in loads], 1),
        "cores that trainings had": spread_of([found[way][1] for found in rounds], 1, 2) if way else "",
        "failed": sum(load.errors for load in loads),
    }  # fmt: skip


@contextmanager
def queued(root: Path, count: int) -> Iterator[list[psutil.Process]]:
    words = [sys.executable, "-m", "trunkline", "queue"]
    for number in range(count):
        product(root / str(number), seed=number)
        subprocess.run([*words, "add", "--at", str(root), "train", str(root / str(number))], check=True, stdout=subprocess.DEVNULL)
    runner = subprocess.Popen([*words, "run", "--at", str(root)])
    try:
        yield begun(lambda: psutil.Process(runner.pid).children(), count)
    finally:
        runner.kill()  # its jobs end with it, stopped or not
        runner.wait()


@contextmanager
def by_hand(root: Path, count: int) -> Iterator[list[psutil.Process]]:
    environment, trainings = {**os.environ, "TRUNKLINE_THREADS": "1"}, []
    for number in range(count):
        product(root / str(number), seed=count + number)
        words = [sys.executable, "-m", "trunkline", "train", str(root / str(number))]
        trainings.append(subprocess.Popen(words, env=environment, start_new_session=True, stderr=subprocess.DEVNULL))
    try:
        yield begun(lambda: [psutil.Process(each.pid) for each in trainings], count)
    finally:
        for each in trainings:
            each.send_signal(signal.SIGKILL)
            each.wait()


def begun(found: Any, count: int) -> list[psutil.Process]:
    """The trainings, stopped when each has worked for some seconds: torch is loaded by then, and the network learns."""
    ends = time.monotonic() + BEGUN_SECONDS
    while len(processes := found()) < count or any(used(each) < 15 for each in processes):
        assert time.monotonic() < ends, "the trainings don't begin"
        time.sleep(0.2)
    for each in processes:
        each.suspend()
    return list(processes)


def product(folder: Path, seed: int) -> None:
    """Of a seed each: who learns what another is learning waits for it."""
    folder.mkdir(parents=True)
    for part in ("train.csv", "test.csv"):
        (folder / part).write_bytes((DATA / "chnsenticorp_hotel" / part).read_bytes())
    (folder / "product.toml").write_text(
        f'seed = {seed}\nname = "hotel"\ntask = "classify"\nlabel = "label"\ndata = {{ test = "test.csv" }}\ninputs = {{ review = "text" }}\n'
        'trunks = { text = "none" }\n[method]\nname = "lstm"\n[method.settings]\nepochs = 50\n', encoding="utf-8",
    )  # fmt: skip


if __name__ == "__main__":
    main()
