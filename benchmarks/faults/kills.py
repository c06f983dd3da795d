"""kill -9: of one worker under load, of the whole server under load, of commands that write."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.faults.callers import asking, kept, until_asked, with_key
from benchmarks.faults.ground import ROOT, Found, Ground, served, until

from trunkline.bundle import Bundle
from trunkline.shelf import Shelf

WORKERS, SERVERS, COMMANDS = 4, 3, 40  # how often each is killed


def worker(ground: Ground) -> Found:
    folder = ground.products("kill-worker")
    key = with_key(folder)
    back: list[float] = []
    with served(folder, "--workers", "2") as server:
        with asking(ground, server.url, key) as asked:
            for number in range(WORKERS):
                until_asked(asked, 80, server)
                ready = len(server.said("a worker is ready"))
                os.kill(server.pids[number % 2], signal.SIGKILL)
                back.append(until(lambda ready=ready: len(server.said("a worker is ready")) > ready, 60, "no new worker"))  # type: ignore[misc]
            until_asked(asked, 80, server)
        died = len(server.said("a worker died and is started again"))
    found = Found(
        f"2 workers, 8 callers that try again; kill -9 of one of them, {WORKERS} times",
        f"{len(asked.answers)} calls, as many answers, right and kept; a new worker after {min(back):.1f}-{max(back):.1f} s; slowest call {asked.slowest:.1f} s",
        asked.wrong,
    )
    if died != WORKERS:
        found.wrong.append(f"{died} workers died")
    found.wrong += not_kept(folder, len(asked.answers))
    return found


def whole_server(ground: Ground) -> Found:
    folder = ground.products("kill-server", ("v1", "v2"))
    key, shelf = with_key(folder), Shelf(folder / "support")
    with ExitStack() as servers:
        server = servers.enter_context(served(folder))
        with asking(ground, server.url, key) as asked:
            for number in range(SERVERS):
                until_asked(asked, 80, server)
                shelf.set_live(f"v{2 - number % 2}")  # the server is about to swap
                time.sleep(random.Random(number).random())
                server.kill()
                server = servers.enter_context(served(folder, "--port", str(server.port)))
            until_asked(asked, 80, server)
    versions = {version for _, version, _ in asked.answers.values()}
    found = Found(
        f"8 callers that try again; kill -9 of the server in the middle of a swap, {SERVERS} times, started again at once",
        f"{len(asked.answers)} calls, as many answers, right and kept, by {len(versions)} versions; slowest call {asked.slowest:.1f} s",
        asked.wrong,
    )
    found.wrong += half_written(folder) + not_kept(folder, len(asked.answers))
    return found


def commands(ground: Ground) -> Found:
    """deploy, import and export, killed at any moment of their lives."""
    folder = ground.products("kill-commands", ("v1", "v2"))
    product, rng, ended = folder / "support", random.Random(0), 0
    archive, began = folder / "support.tlb", time.monotonic()
    run("export", str(product), "-o", str(archive), "--version", "v1")
    whole = time.monotonic() - began  # seconds of such a command on this machine today
    for number in range(COMMANDS):
        words = [("deploy", str(product), f"v{1 + number % 2}"), ("import", str(archive), "--into", str(folder / f"new{number}"))][number // 2 % 2]
        process = subprocess.Popen([sys.executable, "-m", "trunkline", *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.5, 1.1) * whole)
        process.kill()
        ended += process.wait(30) == 0
    run("deploy", str(product), "v2")  # the dead ones' lock is free
    found = Found(
        f"`trunkline deploy` and `import`, {COMMANDS} times, killed in the second half of their time",
        f"{ended} were done before; all shelves could be read, all bundles verified; the next deploy went through",
        half_written(folder),
    )
    if Shelf(product).live() != "v2":
        found.wrong.append("the next deploy changed nothing")
    return found


def run(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "trunkline", *words], cwd=ROOT, check=True, capture_output=True)


def not_kept(folder: Path, calls: int) -> list[str]:
    """Is there one kept answer for each call, and the store whole?"""
    answered, open_, whole = kept(folder)
    if (answered, open_, whole) == (calls, 0, "ok"):
        return []
    return [f"{answered} answers kept of {calls}, {open_} calls without one; the store: {whole}"]


def half_written(folder: Path) -> list[str]:
    """Bundles and shelves that can't be read. A temporary file that a killed process left is none: nobody reads it."""
    wrong = []
    for shelf in sorted(folder.rglob("bundles")):
        try:
            Shelf(shelf.parent).record()
            for version in Shelf(shelf.parent).versions():
                Bundle.open(shelf / version)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is counted
            wrong.append(f"{shelf}: {error}".replace("\n", " "))
    return wrong
