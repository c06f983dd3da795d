"""20 products beside LitServe, BentoML and MLServer with the same encoder and heads; 1 to 1,000 of ours.

    python -m benchmarks.serve_peers [--seconds 4] [--runs 2] [--trunks minilm e5-small] [--most 1000]

Each peer has a model a product, as its documentation serves several models, in an environment of its own that is
made once; `stacks.py` and the serve_*.py beside it say how. On the first trunk named also ours with 1 to --most products,
the peers with 1, 5 and 10, and each peer in the other way its documentation leaves open. Needs wrk, which shares the cores.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers import venvs
from benchmarks.peers.fleet import CONNECTIONS, Fleet, failures, rounds, spread, table
from benchmarks.peers.stacks import OURS, PEERS, VARIANTS
from benchmarks.record import record
from benchmarks.serving import PACKAGES

OURS_SIZES, PEER_SIZES = (1, 10, 100, 1000), (1, 5, 10)
TARGET = "memory and rows/s at least 1"
NOTE = (
    "Same graph, precision, tokenizer and heads everywhere: vectors in each environment, and an answer of every product over "
    f"HTTP, equal ours within 1e-5 before the load. {CONNECTIONS} connections, one row a call, products in turn, texts of "
    "banking77's test rows, equal inputs not shared. A model a product in each peer, one thread a model. LitServe: an API and "
    "so a worker process a product, an HTTP process a core, batching off (with it each idle worker looks into its "
    "queue a thousand times a second) or on (8 rows, 10 ms). BentoML: one service, batchable, a worker process a core (its "
    "advice for processors) or one (its default). MLServer: adaptive batching (8 rows, 10 ms), a worker process a core or "
    "one (its default). Memory is that of all processes of a server. wrk ran on the same cores."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--trunks", nargs="*", default=["minilm", "e5-small"])
    parser.add_argument("--most", type=int, default=max(OURS_SIZES), help="products of ours")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # the servers end with it
    for tool in venvs.SERVERS:
        venvs.server(tool)
    sizes = {OURS.name: [size for size in OURS_SIZES if size <= asked.most], **{peer.name: PEER_SIZES for peer in PEERS}}
    lines: list[dict[str, Any]] = []
    note = NOTE
    for trunk in asked.trunks:
        first = trunk == asked.trunks[0]
        with tempfile.TemporaryDirectory() as temp:
            fleet = Fleet(Path(temp), trunk)
            for tool in venvs.SERVERS:
                fleet.check_vectors(tool)
            found = rounds(fleet, (OURS, *PEERS), asked.runs, asked.seconds, sizes if first else {}, VARIANTS if first else ())
        lines += table(trunk, found, OURS.name, TARGET)
        note += failures(fleet)
    versions = "; ".join(", ".join(venvs.versions(tool)) for tool in venvs.SERVERS)
    print(record("serve_peers", "Twenty products beside LitServe, BentoML and MLServer", lines,
                 spread=spread(asked.runs, asked.seconds), note=f"{note} Peers: {versions}.",
                 packages=(*PACKAGES, "openvino")))  # fmt: skip


if __name__ == "__main__":
    main()
