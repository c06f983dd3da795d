"""Runs the faults named, or all: `python -m benchmarks.faults [NAMES]`. Those not named keep their last line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from benchmarks.faults import bodies, bundles, clients, clock, disks, kills, rows
from benchmarks.faults.ground import Found, Ground, ground
from benchmarks.record import RESULTS, record

FAULTS: dict[str, Callable[[Ground], Found]] = {
    "kill -9 of a worker": kills.worker,
    "kill -9 of the server": kills.whole_server,
    "kill -9 of commands": kills.commands,
    "a full disk": disks.full,
    "slow clients": clients.slow,
    "clients that leave": clients.leaving,
    "1 GB": clients.too_much,
    "5,000 idle connections": clients.idle,
    "malformed calls": bodies.malformed,
    "a bundle swapped 1,000 times": bundles.swapped,
    "a bundle damaged on disk": bundles.damaged,
    "a head that breaks on a row": rows.one_row,
    "memory budget reached": rows.budget,
    "clock set back": clock.set_back,
}


def main() -> None:
    words = sys.argv[1:]
    chosen = [name for name in FAULTS if not words or any(word in name for word in words)]
    assert chosen, f"none is called {words}; there are {', '.join(FAULTS)}"
    file = RESULTS / "faults.json"
    lines = {line["fault"]: line for line in json.loads(file.read_text(encoding="utf-8"))["rows"]} if file.exists() else {}
    failed = False
    with ground() as place:
        for name in chosen:
            found, seconds = timed(FAULTS[name], place)
            failed |= bool(found.wrong)
            lines[name] = {"fault": name, "done": found.done, "counted": found.counted, "outcome": found.outcome}
            print(f"{name} ({seconds:.0f} s): {found.outcome}\n  {found.done}\n  {found.counted}", flush=True)
            for wrong in found.wrong:
                print(f"  × {wrong}")
            record("faults", "Faults survived", [lines[one] for one in FAULTS if one in lines], **WORDS)
    sys.exit(failed)


def timed(fault: Callable[[Ground], Found], place: Ground) -> tuple[Found, float]:
    began = time.monotonic()
    try:
        found = fault(place)
    except AssertionError as error:  # it did not get as far as counting
        found = Found("", "", [str(error)[-300:] or "an expectation did not hold"])
    return found, time.monotonic() - began


WORDS = {
    "spread": "each fault was done once, as often as its line says",
    "note": "A real product (the shipped support sample, 26 classes, default trunk) in a process of its own, asked over "
    "loopback; two versions of it answer so that they can be told apart. Callers are the package's own client, which "
    "tries again with the same idempotency key, unless the line says otherwise.",
}

if __name__ == "__main__":
    main()
