"""The serving core: many products on one trunk against one, and the server against the bare engine.

    python -m benchmarks.serve_core [--seconds 6] [--runs 3] [--trunks e5-small minilm]

Each product is banking77 as `auto` learns it (trunk and n-grams), under a name of its own; one with the head
`linear` (trunk alone) shows what the server costs without a head's work. Texts are banking77's test rows. Bare:
the engine by itself on both cores, rows sorted by length in batches of 8 (an upper bound), or one row a call.
Equal inputs are shared only in the rows that say so. Needs wrk, which shares the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from benchmarks.matrix import all_products_ms, copy
from benchmarks.record import record, spread_of
from benchmarks.serving import DATA, JOBS, PACKAGES, Server, bodies, served

from trunkline.bundle import Bundle
from trunkline.methods.dense_rows import size_of
from trunkline.product import Product
from trunkline.spec import Spec

MANY = 100
CONNECTIONS = 32
ROWS = (1, 4, 16)
SHARES = {1: "0.65", 4: "0.90", 16: "0.95"}
BARE = """
import json, sys, time
import numpy as np
import trunkline
from trunkline.trunks import find
from trunkline.types import Call
engine, texts = find(sys.argv[1]).load(), json.load(sys.stdin)
name = "trunk:" + sys.argv[1]
engine.run(Call(name, texts[:200]))
began = time.perf_counter()
engine.run(Call(name, texts))
rows = len(texts) / (time.perf_counter() - began)
alone = []
for text in texts[:300]:
    began = time.perf_counter()
    engine.run(Call(name, [text]))
    alone.append((time.perf_counter() - began) * 1000)
print(json.dumps([rows, *np.percentile(alone, [50, 99]).tolist()]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--trunks", nargs="*", default=["e5-small", "minilm"])
    asked = parser.parse_args()
    lines: list[dict[str, Any]] = []
    for trunk in asked.trunks:
        lines += [{"trunk": trunk, **line} for line in measured(trunk, asked.runs, asked.seconds)]
    print(record("serve_core", "Many products on one trunk, and what the server costs", lines,
                 spread=f"median (lowest-highest) of {asked.runs} rounds; in a round all of them were measured in turn, "
                 f"{asked.seconds} s each",
                 note=f"{CONNECTIONS} connections unless said. wrk and the paced client ran on the same two cores.",
                 packages=(*PACKAGES, "openvino")))  # fmt: skip


def measured(trunk: str, runs: int, seconds: int) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as temp:
        root = Path(temp)
        bundle, plain = learned(root / "auto", trunk, "auto"), learned(root / "linear", trunk, "linear")
        head_kb = size_of(bundle.head()) / 1000
        apart = unshared(bundle.spec)
        for size in (1, MANY):
            for at in range(size):
                copy(bundle, root / f"of{size}", f"p{at}", apart)
        copy(plain, root / "plain", "p0", unshared(plain.spec))
        copy(bundle, root / "shared", "p0")
        rounds = [one_round(trunk, root, seconds) for _ in range(runs)]

    def over(name: str) -> list[float]:
        return [found[name] for found in rounds]

    def ratio(a: str, b: str) -> str:
        return spread_of([found[a] / found[b] for found in rounds], 1.0, 2)

    yield {"what": "bare, rows/s", "value": spread_of(over("bare"), 1.0)}
    for key, head in (("rows", "one product"), ("plain", "one product, linear head")):
        for rows in ROWS:
            yield {
                "what": f"{head}, {rows} rows a call, rows/s", "value": spread_of(over(f"{key}{rows}"), 1.0),
                "ratio": ratio(f"{key}{rows}", "bare"), "of": "bare", "target": f"at least {SHARES[rows]}",
            }  # fmt: skip
    yield {"what": f"{MANY} products in turn, 1 row a call, rows/s", "value": spread_of(over("mixed"), 1.0),
           "ratio": ratio("mixed", "rows1"), "of": "one product", "target": "at least 0.97"}  # fmt: skip
    yield {"what": f"one text to {MANY} products, ms", "value": spread_of(over("all"), 1.0, 1),
           "ratio": ratio("all", "all1"), "of": "one product", "target": "at most 1.15"}  # fmt: skip
    for key, head in (("lone", ""), ("plain lone", ", linear head")):
        yield {"what": f"a lone call, ms above its bare encode{head}",
               "value": spread_of([found[key] - found["bare p50"] for found in rounds], 1.0, 2), "target": "at most 0.5"}  # fmt: skip
    yield {"what": "p99 at half load, ms", "value": spread_of(over("half p99"), 1.0, 1),
           "ratio": ratio("half p99", "bare p99"), "of": "bare p99", "target": "at most 2.5"}  # fmt: skip
    yield {"what": "Zipf traffic, half repeats, rows/s", "value": spread_of(over("shared"), 1.0),
           "ratio": ratio("shared", "not shared"), "of": "no sharing", "target": "at least 1.7"}  # fmt: skip
    for size in (1, MANY):
        yield {"what": f"memory with {size} products, PSS MB", "value": spread_of(over(f"memory{size}"), 1.0)}
    added = [(found[f"memory{MANY}"] - found["memory1"]) / (MANY - 1) * 1000 for found in rounds]
    yield {"what": "memory of each further product, kB", "value": spread_of(added, 1.0),
           "target": f"at most {head_kb + 50:.0f}: its head + 50"}  # fmt: skip


def learned(folder: Path, trunk: str, method: str) -> Bundle:
    folder.mkdir()
    text = (JOBS / "banking" / "product.toml").read_text(encoding="utf-8")
    wanted = f'{text}\n[trunks]\ntext = "{trunk}"\n[method]\nname = "{method}"\n'
    (folder / "product.toml").write_text(wanted, encoding="utf-8")
    for part in ("train.csv", "test.csv"):
        (folder / part).write_bytes((DATA / "banking77" / part).read_bytes())
    return Product(folder).train()


def unshared(spec: Spec) -> Spec:
    """Equal inputs are computed each time."""
    return msgspec.structs.replace(spec, serve=msgspec.structs.replace(spec.serve, reuse=False))


def one_round(trunk: str, root: Path, seconds: int) -> dict[str, float]:
    found: dict[str, float] = {}
    calls = {rows: bodies("banking77", "category", rows, limit=3_000) for rows in ROWS}
    texts = [json.loads(call)["rows"][0]["text"] for call in calls[1]]
    with served(root / "of1", "p0", calls[1][0]) as server:
        found["bare"], found["bare p50"], found["bare p99"] = bare(trunk, texts)
        for rows in ROWS:
            found[f"rows{rows}"] = server.load(calls[rows], CONNECTIONS, seconds).per_s * rows
        found["all1"] = all_products_ms(server)
        found["lone"] = server.load(calls[1], 1, seconds).p50_ms
        found["half p99"] = float(np.percentile(paced(server, calls[1], found["rows1"] / 2, seconds), 99))
        found["not shared"] = server.load(zipf(calls[1]), CONNECTIONS, seconds).per_s
        found["memory1"] = server.pss_mb()
    with served(root / "plain", "p0", calls[1][0]) as server:
        for rows in ROWS:
            found[f"plain{rows}"] = server.load(calls[rows], CONNECTIONS, seconds).per_s * rows
        found["plain lone"] = server.load(calls[1], 1, seconds).p50_ms
    with served(root / f"of{MANY}", "p0", calls[1][0]) as server:
        found["mixed"] = server.load(calls[1], CONNECTIONS, seconds, [f"p{at}" for at in range(MANY)]).per_s
        found["all"] = all_products_ms(server)
        found[f"memory{MANY}"] = server.pss_mb()
    with served(root / "shared", "p0", calls[1][0]) as server:
        found["shared"] = server.load(zipf(calls[1]), CONNECTIONS, seconds).per_s
    return found


def bare(trunk: str, texts: Sequence[str]) -> list[float]:
    """[rows/s on both cores, p50 and p99 ms of single rows]."""
    done = subprocess.run([sys.executable, "-c", BARE, trunk], input=json.dumps(texts), capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def zipf(calls: Sequence[str], share: float = 0.5, seed: int = 0) -> list[str]:
    """Traffic of which `share` was asked before: new texts, between them old ones, the popular more often."""
    rng, out, at = np.random.default_rng(seed), [calls[0]], 1
    while at < len(calls):
        if rng.random() < share:
            out.append(calls[min(at - 1, int(rng.zipf(1.5)) - 1)])
        else:
            out.append(calls[at])
            at += 1
    return out


def paced(server: Server, calls: Sequence[str], per_s: float, seconds: int) -> list[float]:
    """Milliseconds of calls that arrive at random (Poisson), whether earlier ones are answered or not."""
    host, port = server.url.split("/")[2].split(":")
    path = "/" + server.url.split("/", 3)[3]
    took: list[float] = []

    @contextmanager
    def clock() -> Iterator[None]:
        began = time.perf_counter()
        yield
        took.append((time.perf_counter() - began) * 1000)

    async def call(body: bytes, idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
        with clock():
            reader, writer = idle.pop() if idle else await asyncio.open_connection(host, int(port))
            writer.write(f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.split(b":")[1]))
        idle.append((reader, writer))

    async def run() -> None:
        rng = np.random.default_rng(0)
        idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        tasks, began, due = [], time.perf_counter(), 0.0
        for body in calls:
            due += float(rng.exponential(1 / per_s))
            if due > seconds:
                break
            await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
            tasks.append(asyncio.create_task(call(body.encode(), idle)))
        await asyncio.gather(*tasks)
        for _, writer in idle:
            writer.close()

    asyncio.run(run())
    return took


if __name__ == "__main__":
    main()
