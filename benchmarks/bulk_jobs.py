"""Bulk jobs: rows a second beside the same number of rows over NDJSON, and what live calls feel of a job.

    python -m benchmarks.bulk_jobs [--rows 3000] [--runs 5] [--seconds 6]

The product is banking77 as `auto` learns it; no text is asked twice, and equal inputs aren't shared. In a round the
same server answers rows over NDJSON, then as a job; then live calls of one row that arrive at random, alone and while
a job runs. The clock of a job runs from the first byte of its upload until it is seen to be done.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from benchmarks.matrix import copy
from benchmarks.record import record, spread_of
from benchmarks.serve_core import learned, paced, unshared
from benchmarks.serving import DATA, PACKAGES, Server, served

from trunkline.client import Client, Job

PRODUCT = "p0"
SHARE = 0.25  # of what NDJSON reached: the live calls a second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--trunk", default="e5-small")
    asked = parser.parse_args()
    texts = unheard()
    with tempfile.TemporaryDirectory() as temp:
        root = Path(temp)
        bundle = learned(root / "learned", asked.trunk, "auto")
        copy(bundle, root / "served", PRODUCT, unshared(bundle.spec))
        with served(root / "served", PRODUCT, json.dumps({"rows": [{"text": next(texts)}]})) as server:
            rounds = [one_round(server, texts, root, asked.rows, asked.seconds) for _ in range(asked.runs)]
    print(record("bulk_jobs", "Bulk jobs", list(table(rounds)),
                 spread=f"median (lowest-highest) of {asked.runs} rounds; in a round all of it was measured in turn",
                 note=f"{asked.rows} rows at a time; live calls of one row, {SHARE:.0%} of the rows a second that NDJSON "
                 f"reached in the round, for {asked.seconds} s. The client ran on the same cores.",
                 packages=(*PACKAGES, "openvino", "sqlalchemy")))  # fmt: skip


def table(rounds: Sequence[dict[str, float]]) -> Iterator[dict[str, Any]]:
    def over(name: str, digits: int = 0) -> str:
        return spread_of([found[name] for found in rounds], 1.0, digits)

    def ratio(a: str, b: str) -> str:
        return spread_of([found[a] / found[b] for found in rounds], 1.0, 2)

    yield {"what": "NDJSON, rows/s", "value": over("ndjson")}
    yield {"what": "job, rows/s", "value": over("job"), "ratio": ratio("job", "ndjson"), "of": "NDJSON"}
    for figure in ("p50", "p99"):
        yield {"what": f"live call alone, {figure} ms", "value": over(f"alone {figure}", 1)}
        yield {"what": f"live call while a job runs, {figure} ms", "value": over(f"beside {figure}", 1),
               "ratio": ratio(f"beside {figure}", f"alone {figure}"), "of": "alone"}  # fmt: skip
    yield {"what": "job while live calls come, rows/s", "value": over("behind")}


def one_round(server: Server, texts: Iterator[str], root: Path, rows: int, seconds: int) -> dict[str, float]:
    found: dict[str, float] = {}
    file = root / "rows.jsonl"
    with Client("/".join(server.url.split("/")[:3])) as client:

        def job() -> Job:
            file.write_bytes(lines(texts, rows))
            return client.submit(PRODUCT, file)

        found["ndjson"] = rows / ndjson_seconds(server.url, lines(texts, rows))
        began = time.perf_counter()
        assert client.wait(job(), every=0.02).rows_failed == 0
        found["job"] = rows / (time.perf_counter() - began)
        per_s = SHARE * found["ndjson"]
        alone = paced(server, calls(texts, per_s, seconds), per_s, seconds)
        behind = job()
        while (before := client.job(behind)).rows_done == 0:
            time.sleep(0.02)
        began = time.perf_counter()
        beside = paced(server, calls(texts, per_s, seconds), per_s, seconds)
        after = client.job(behind)
        assert after.state == "running", "more rows are wanted"
        found["behind"] = (after.rows_done - before.rows_done) / (time.perf_counter() - began)
        client.cancel(behind)
    for name, took in (("alone", alone), ("beside", beside)):
        found |= {f"{name} p{at}": float(np.percentile(took, at)) for at in (50, 99)}
    return found


def ndjson_seconds(url: str, body: bytes) -> float:
    began = time.perf_counter()
    reply = httpx.post(url, content=body, headers={"content-type": "application/x-ndjson"}, timeout=600)
    assert b'"status":"error"' not in reply.content
    assert reply.content.count(b"\n") == body.count(b"\n")
    return time.perf_counter() - began


def calls(texts: Iterator[str], per_s: float, seconds: int) -> list[str]:
    """More than may come in that time."""
    return [json.dumps({"rows": [{"text": text}]}) for text in itertools.islice(texts, int(2 * per_s * seconds) + 20)]


def lines(texts: Iterator[str], rows: int) -> bytes:
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in itertools.islice(texts, rows))


def unheard() -> Iterator[str]:
    """banking77's texts, in an order of no meaning, each time with another number behind."""
    with (DATA / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    np.random.default_rng(0).shuffle(texts)
    return (f"{text} {number}" for number, text in enumerate(itertools.cycle(texts)))


if __name__ == "__main__":
    main()
