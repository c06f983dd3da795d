"""A full disk: a small one in memory, filled to the last byte, then freed again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from benchmarks.faults.callers import kept, with_key
from benchmarks.faults.ground import ROOT, Found, Ground, Running, served, until
from benchmarks.faults.kills import half_written

from trunkline.shelf import Shelf

SIZE = "24m"
CALLS = 20
LINES = 60_000  # of 60 bytes: more than waits in memory and in sockets


@contextmanager
def small_disk(at: Path) -> Iterator[Path]:
    """Needs root, and Linux."""
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "faults", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all that is free."""
    path = disk / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return path


def full(ground: Ground) -> Found:
    source = ground.products("disk", ("v1", "v2"))
    with small_disk(ground.folder / "small") as disk:
        folder = disk / "products"
        subprocess.run(["cp", "-r", str(source), str(folder)], check=True)
        key, temp = with_key(folder), disk / "tmp"
        temp.mkdir()
        with served(folder, "--workers", "2", env={"TMPDIR": str(temp)}) as server:
            first = answers(server, key, "before")
            pids, early = server.pids, {spooled(server, key) for _ in range(8)}  # from here on both know where temporary files go
            filler = fill(disk)
            found = Found("", "", ([] if early == {LINES} else [f"{early} lines before"]) + while_full(server, folder, key, ground))
            filler.unlink()
            until(lambda: answers(server, key, "after") == first, 60, "not all is well again")
            cli = command("deploy", str(folder / "support"), "v2")
            died = len(set(pids) - set(server.pids))
        answered, open_, whole = kept(folder)
        found.wrong += half_written(folder)
    found.done = f"a disk of {SIZE} with products, store, log and temporary files filled to the last byte under 2 workers, then freed"
    found.counted = (
        f"full: {CALLS} calls answered, {CALLS} with an Idempotency-Key told 503 and why, deploy, import and train told the "
        f"file and left nothing, a stream that needed the disk was broken off; freed: all as before; {answered} answers kept"
    )
    if died or open_ or whole != "ok" or cli.returncode:
        found.wrong.append(f"{died} workers died; {open_} calls without an answer; the store: {whole}; deploy after: {cli.stderr[-200:]}")
    return found


def while_full(server: Running, folder: Path, key: str, ground: Ground) -> list[str]:
    wrong = []
    plain = [server.ask(f"plain {n}", authorization=f"Bearer {key}") for n in range(CALLS)]
    if any(reply.status_code != 200 for reply in plain):
        wrong.append(f"a call without the store: {plain[0].text[:200]}")
    once = [server.ask(f"once {n}", **{"authorization": f"Bearer {key}", "idempotency-key": f"full-{n}"}) for n in range(CALLS)]
    if any(reply.status_code != 503 or "full" not in reply.json()["found"] for reply in once):
        wrong.append(f"a call that the store should keep: {once[0].status_code} {once[0].text[:200]}")
    before = sorted(path.name for path in folder.rglob("*"))
    archive = ground.folder / "disk.tlb"
    command("export", str(folder / "support"), "-o", str(archive), "--version", "v1")
    for words in (("deploy", "v2"), ("import",), ("train",)):
        target = ["import", str(archive), "--into", str(folder / "more")] if words == ("import",) else [words[0], str(folder / "support"), *words[1:]]
        done = command(*target)
        if done.returncode == 0 or "No space left" not in done.stderr + done.stdout or "Traceback" in done.stderr:
            wrong.append(f"{words[0]}: {done.returncode} {(done.stderr or done.stdout)[-300:]}")
    left = sorted(path.name for path in folder.rglob("*"))
    if Shelf(folder / "support").live() != "v1" or [name for name in left if name not in before and name != "more"]:
        wrong.append(f"left behind: {set(left) - set(before)}, live {Shelf(folder / 'support').live()}")
    lines = spooled(server, key)
    return wrong if lines is None else [*wrong, f"a stream ended as if it were whole: {lines} lines"]


def spooled(server: Running, key: str) -> int | None:
    """Lines answered to a client that sends all its rows before it reads, so that the server has to keep them;
    None where the answer was broken off."""
    body = b'{"text": "a row that has to wait on the disk, always the same"}\n' * LINES
    headers = {"authorization": f"Bearer {key}", "content-type": "application/x-ndjson"}
    try:
        reply = httpx.post(f"{server.url}/v1/products/support/predict", content=body, headers=headers, timeout=60)
    except httpx.TransportError:
        return None
    return reply.text.count("\n")


def answers(server: Running, key: str, tag: str) -> list[int]:
    once = [server.ask(f"{tag} {n}", **{"authorization": f"Bearer {key}", "idempotency-key": f"{tag}-{n}"}) for n in range(CALLS)]
    return [reply.status_code for reply in once]


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "trunkline", *words], cwd=ROOT, capture_output=True, text=True, env={**os.environ})
