"""Our encode path (texts in, vectors out) against the bare runtime on batches prepared beforehand, and
length buckets against padding in order of arrival. Rows a second, repeats interleaved."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from benchmarks.record import record
from benchmarks.trunk_common import banking, hotel, middle

from trunkline.engines.batching import batches
from trunkline.engines.openvino import OpenVinoSession
from trunkline.engines.threads import run_all, workers
from trunkline.trunks.bert import GRAPH, POSITIONS, WORDS
from trunkline.trunks.e5 import PREFIX, E5Small
from trunkline.trunks.sentencepiece import SentencePiece
from trunkline.trunks.tables import BlockTable
from trunkline.types import Call

REPEATS = 5


def prepared_batches(ids: list[list[int]], arrival: bool) -> list[list[Any]]:
    """(embeds, mask) of every batch: by bucket, or 8 rows as they come padded to the longest."""
    folder = E5Small().prepare()
    words, places = BlockTable(folder / WORDS), np.load(folder / POSITIONS)
    if arrival:
        groups = [list(range(i, min(i + 8, len(ids)))) for i in range(0, len(ids), 8)]
        todo = [(max(len(ids[row]) for row in group), group) for group in groups]
    else:
        todo = list(batches([len(row) for row in ids]))
    made = []
    for padded, rows in todo:
        block = np.zeros((len(rows), padded), np.int64)
        mask = np.zeros((len(rows), padded), np.float32)
        for i, row in enumerate(rows):
            block[i, : len(ids[row])], mask[i, : len(ids[row])] = ids[row], 1
        made.append([words.rows(block) + places[:padded], mask])
    return made


def rates(works: dict[str, Callable[[], object]], rows: int) -> dict[str, list[float]]:
    seen: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(REPEATS + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if repeat:
                seen[name].append(rows / (time.perf_counter() - start))
    return seen


def main() -> None:
    trunk = E5Small()
    engine, folder = trunk.load(), trunk.prepare()
    bare = OpenVinoSession(folder / GRAPH, trunk.precision)
    tokenizer = SentencePiece(folder, PREFIX, 128)
    table = []
    for name, texts in (("English, banking77", banking()[:768]), ("Chinese, hotel reviews", hotel(160))):
        ids = tokenizer.encode(texts)
        sets = {"bare": prepared_batches(ids, False), "arrival": prepared_batches(ids, True)}
        works: dict[str, Callable[[], object]] = {
            "ours": partial(engine.run, Call("trunk:e5-small", texts)),
            "bare runtime": partial(run_all, bare.run, sets["bare"]),
            "bare, in order of arrival": partial(run_all, bare.run, sets["arrival"]),
        }
        seen = rates(works, len(texts))
        median = {key: statistics.median(values) for key, values in seen.items()}
        table.append(
            {
                "texts": name,
                **{f"{key}, rows/s": middle(values) for key, values in seen.items()},
                "ours / bare": round(median["ours"] / median["bare runtime"], 3),
                "buckets / arrival": round(median["bare runtime"] / median["bare, in order of arrival"], 2),
            }
        )
    record(
        "trunk_encode",
        "Our encode path against the bare runtime",
        table,
        spread=f"median (lowest-highest) of {REPEATS} interleaved repeats, {workers()} callers",
        note="Bare: batches tokenised, looked up and padded beforehand. Arrival: 8 rows as they come, padded to the longest.",
        packages=("openvino", "sentencepiece"),
    )


if __name__ == "__main__":
    main()
