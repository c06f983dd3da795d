"""Bundles that change under load: swapped a thousand times, and damaged on disk while they serve."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
from benchmarks.faults.ground import Found, Ground, Running, served, until

from trunkline.shelf import Shelf

SWAPS, CALLERS = 1_000, 4


def swapped(ground: Ground) -> Found:
    folder = ground.products("swaps", ("v1", "v2"))
    shelf, done = Shelf(folder / "support"), threading.Event()
    seen: list[tuple[str, str, str | None, str]] = []  # (text, version, label, digest)
    errors: list[str] = []
    assert ground.labels

    def caller(first: int) -> None:
        number = first
        with httpx.Client(base_url=server.url, timeout=60) as client:
            while not done.is_set():
                text = ground.texts[number % len(ground.texts)]
                number += CALLERS
                reply = client.post("/v1/products/support/predict", json={"row": {"text": text}})
                if reply.status_code != 200:
                    errors.append(f"{reply.status_code} {reply.text[:200]}")
                    continue
                said = reply.json()
                seen.append((text, said["version"], said["answers"][0]["label"], said["digest"]))

    with served(folder) as server:
        threads = [threading.Thread(target=caller, args=(number,)) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        try:
            refused = sum(swap(server, shelf, f"v{2 - number % 2}") for number in range(SWAPS))
        finally:
            done.set()
            for thread in threads:
                thread.join()
        seconds = time.monotonic() - began
        swaps = len(server.said("swapped"))
    wrong = [one for one in seen if not ground.right(*one[:3])]
    digests = {(version, digest) for _, version, _, digest in seen}
    versions = Counter(version for _, version, _, _ in seen)
    found = Found(
        f"{SWAPS} deployments in {seconds:.0f} s, each swapped in at once, under {CALLERS} callers without a pause",
        f"{swaps} swaps; {len(seen)} answers ({versions['v1']} by v1, {versions['v2']} by v2), {len(errors)} errors, "
        f"{len(wrong)} whose label isn't that of the version they name",
    )
    found.wrong += [f"a wrong-version answer: {wrong[0]}"] if wrong else []
    found.wrong += errors[:1]
    if len(digests) != 2 or refused or len(versions) != 2:
        found.wrong.append(f"{refused} swaps refused, {digests}")
    return found


def swap(server: Running, shelf: Shelf, version: str) -> bool:
    """Deployed, and loaded without waiting for the watcher; whether that was refused."""
    shelf.set_live(version)
    reply = httpx.post(f"{server.url}/v2/repository/models/support/load", timeout=60)
    return reply.status_code != 200


def damaged(ground: Ground) -> Found:
    folder = ground.products("damaged")
    ground.add(folder, "other", "v1")
    Shelf(folder / "other").set_live("v1")
    bundle = folder / "support" / "bundles" / "v1"
    with served(folder) as server:
        before = answers(ground, server)
        for file in sorted(bundle.iterdir()):
            damage(file)
        on = answers(ground, server)
        report = httpx.get(f"{server.url}/v1/products/support/report")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: bool(server.said("reloaded")), 30, "it didn't reload")
        reloaded = answers(ground, server)
        loaded = httpx.post(f"{server.url}/v2/repository/models/support/load", timeout=60)
        still = answers(ground, server)
    with served(folder) as server:
        refused = server.ask()
        other = httpx.post(f"{server.url}/v1/products/other/predict", json={"row": {"text": ground.texts[0]}}, timeout=60)
        health = httpx.get(f"{server.url}/healthz").json()
        named = [line for line in server.said("product refused") if line.get("product") == "support"]
    found = Found(
        "half of the files of the bundle that serves damaged (a byte flipped), the others deleted; then SIGHUP, a load by name, a restart",
        f"{before} answers before, {on} damaged, {reloaded} after SIGHUP, {still} after the load (which was refused, "
        f"{loaded.status_code}), all right and from memory; the report, which is read from disk: {report.status_code}; "
        f"after the restart {refused.status_code} by name, the other product {other.status_code}, health {health['status']}",
    )
    if len({before, on, reloaded, still}) != 1 or report.status_code != 503 or loaded.status_code != 503:
        found.wrong.append(f"load {loaded.text[:200]}; report {report.text[:200]}")
    if refused.status_code != 503 or other.status_code != 200 or health["status"] != "degraded" or not named:
        found.wrong.append(f"after the restart: {refused.text[:200]}, {health}")
    return found


def answers(ground: Ground, server: Running, count: int = 50) -> int:
    """How many of so many calls are answered rightly."""
    replies = [(text, server.ask(text)) for text in ground.texts[:count]]
    return sum(reply.status_code == 200 and ground.right(text, "v1", reply.json()["answers"][0]["label"]) for text, reply in replies)


def damage(file: Path) -> None:
    if sum(file.name.encode()) % 2:
        file.unlink()
        return
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
