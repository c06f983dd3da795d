"""A hundred products beside one: memory, start, and one text put to all of them.

    python -m benchmarks.matrix [--runs 3]

The products are copies of one head (the shipped support sample) under names of their own, each in a
bundle of its own; the server doesn't know that they are equal, and the head is computed for each. What a
hundred different heads would add is their size. Servers of the three sizes are started in turns.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

import msgspec
from benchmarks.record import record, spread_of
from benchmarks.serving import PACKAGES, Server, served

from trunkline.bundle import Bundle, freeze
from trunkline.init import init_from_template
from trunkline.product import Product
from trunkline.shelf import Shelf
from trunkline.spec import Spec

SIZES = (1, 10, 100)
TEXT = "My card has not arrived yet"
CALLS = 40


def copy(bundle: Bundle, home: Path, name: str, spec: Spec | None = None) -> None:
    """The same head as a product of another name, deployed."""
    spec = msgspec.structs.replace(spec or bundle.spec, name=name)
    shelf = Shelf(home / name)
    shelf.add(
        lambda place, version: freeze(
            place,
            spec=spec,
            version=version,
            method=bundle.manifest.method,
            head=bundle.head(),
            decision=bundle.decision,
            labels=bundle.labels,
            trunks=bundle.manifest.trunks,
            report=bundle.report,
            html="",
            card="",
            data=bundle.data,
            verdict_passed=True,
        )
    )
    shelf.set_live("v1")


def all_products_ms(server: Server) -> float:
    """Median milliseconds of one text put to every product in one call."""
    url = server.url.split("/v1/")[0] + "/v1/matrix/predict"
    took = []
    for at in range(CALLS):
        body = json.dumps({"row": {"text": f"{TEXT} {at}"}}).encode()
        began = time.perf_counter()
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as reply:
            reply.read()
        took.append((time.perf_counter() - began) * 1000)
    return median(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    found: dict[int, list[tuple[float, float, float]]] = {size: [] for size in SIZES}
    with tempfile.TemporaryDirectory() as temp:
        root = Path(temp)
        init_from_template(root / "support", "support", "intent")
        bundle = Product(root / "support").train()
        note = f"{bundle.size_bytes / 1e6:.2f} MB a bundle, 26 classes; {CALLS} texts, none twice."
        for size in SIZES:
            for at in range(size):
                copy(bundle, root / f"of{size}", f"p{at}")
        for _ in range(asked.runs):
            for size, rows in found.items():
                body = json.dumps({"rows": [{"text": TEXT}]})
                with served(root / f"of{size}", "p0", body) as server:
                    ms = all_products_ms(server)
                    rows.append((server.pss_mb(), server.first_answer_s, ms))
    lines = [
        {
            "products": size,
            "memory, PSS MB": spread_of([row[0] for row in rows], 1.0),
            "first answer, s": spread_of([row[1] for row in rows], 1.0, 2),
            "one text to all, ms": spread_of([row[2] for row in rows], 1.0),
        }
        for size, rows in found.items()
    ]
    spread = f"median (lowest-highest) of {asked.runs} servers of each size, in turns"
    print(record("matrix", "A hundred products beside one", lines, spread=spread, note=note, packages=PACKAGES))


if __name__ == "__main__":
    main()
