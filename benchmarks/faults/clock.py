"""The clock of the server set back and forth while it serves, by libfaketime (Debian: apt-get install libfaketime)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from benchmarks.faults.callers import Asked, asking, kept, until_asked
from benchmarks.faults.ground import Found, Ground, Running, served, until

from trunkline.shelf import Shelf
from trunkline.store.callers import add_key
from trunkline.store.place import open_at

PLACES = [os.environ.get("LIBFAKETIME", ""), *(str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))]
STEPS = ("-1h", "+0", "-400d", "+3h", "+0")


def set_back(ground: Ground) -> Found:
    library = next((place for place in PLACES if place and Path(place).exists()), None)
    assert library, "libfaketime isn't installed"
    folder = ground.products("clock", ("v1", "v2"))
    now = datetime.now(UTC)
    store = open_at(folder)
    lasting = add_key(store, "lasting", "acme", ["admin"], now)[0]
    short = add_key(store, "short", "acme", ["predict"], now, now + timedelta(hours=2))[0]
    store.close()
    hand = folder.with_name("clock.hand")
    hand.write_text("+0")
    env = {
        "LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(hand), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
    }  # fmt: skip
    with served(folder, env=env) as server, asking(ground, server.url, lasting, 4) as asked:
        first = once(server, lasting)
        wrong = list(each_step(ground, server, folder, hand, asked, (lasting, short), first))
        negative = [line for line in server.said("call") if line["ms"] < 0]
        seconds = server_sum(server, lasting)
        asked.stopped.set()
    answered, open_, whole = kept(folder)
    days = {line["time"][:10] for line in server.said("call")}
    found = Found(
        f"the clock moved to {', '.join(STEPS)} of the true time under 4 callers, with a deployment at each step",
        f"{len(asked.answers)} calls, as many answers, right and kept; the key that ends in 2 hours is wrong only where the clock says "
        f"so; a repeated call has its first answer but where the clock says that a day is over; the log shows {len(days)} days; slowest call {asked.slowest:.1f} s",
        wrong + asked.wrong,
    )
    if negative or seconds < 0 or open_ or whole != "ok":
        found.wrong.append(f"{len(negative)} negative times, sum {seconds}, {open_} calls without an answer of {answered}, the store: {whole}")
    return found


def each_step(
    ground: Ground, server: Running, folder: Path, hand: Path, asked: Asked, keys: tuple[str, str], first: bytes
) -> Iterator[str]:
    shelf, (lasting, short) = Shelf(folder / "support"), keys
    for number, step in enumerate(STEPS):
        hand.write_text(step)
        version = f"v{2 - number % 2}"
        swaps = len(server.said("swapped"))
        shelf.set_live(version)
        until(lambda swaps=swaps: len(server.said("swapped")) > swaps, 30, f"no swap at {step}")  # type: ignore[misc]
        until_asked(asked, 40, server)
        said = server.ask(authorization=f"Bearer {short}").status_code
        if said != (401 if step == "+3h" else 200):
            yield f"at {step} the key that ends is {said}"
        if once(server, lasting) != first:
            yield f"at {step} the repeated call has another answer"
        busy = httpx.get(f"{server.url}/healthz").json()
        if busy["status"] != "ok":
            yield f"at {step} health is {busy}"


def once(server: Running, key: str) -> bytes:
    return server.ask("always the same", **{"authorization": f"Bearer {key}", "idempotency-key": "always"}).content


def server_sum(server: Running, key: str) -> float:
    """Seconds of all calls by /metrics."""
    lines = httpx.get(f"{server.url}/metrics", headers={"authorization": f"Bearer {key}"}).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("trunkline_request_seconds_sum"))
