"""Callers that keep asking, by the package's own client, and remember what each of their calls had for an answer."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.faults.ground import Ground, Running

from trunkline import Client
from trunkline.errors import RequestError
from trunkline.store.callers import add_key
from trunkline.store.place import open_at


@dataclass
class Asked:
    """What became of the calls. Each has a key of its own and may be sent several times: it is one call."""

    ground: Ground
    answers: dict[int, tuple[str, str | None, str | None]] = field(default_factory=dict)  # (text, version, label)
    errors: list[str] = field(default_factory=list)
    slowest: float = 0.0
    stopped: threading.Event = field(default_factory=threading.Event)
    _next: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def wrong(self) -> list[str]:
        bad = [one for one in self.answers.values() if not self.ground.right(*one)]
        out = [f"{len(bad)} wrong answers, as {bad[0]}"] if bad else []
        out += [f"{len(self.errors)} calls failed, as {self.errors[0]}"] if self.errors else []
        return out

    def take(self) -> int:
        with self._lock:
            self._next += 1
            return self._next

    def ask(self, client: Client) -> None:
        call = self.take()
        text, began = self.ground.texts[call % len(self.ground.texts)], time.monotonic()
        try:
            answer = client.predict("support", {"text": text}, idempotency_key=f"call-{call}")
        except RequestError as error:
            self.errors.append(str(error).replace("\n", " "))
            return
        with self._lock:
            self.answers[call] = (text, answer.version, answer.label)
            self.slowest = max(self.slowest, time.monotonic() - began)


@contextmanager
def asking(ground: Ground, url: str, key: str | None = None, callers: int = 8) -> Iterator[Asked]:
    """Calls without a pause until the block ends; those under way are waited for."""
    asked = Asked(ground)
    assert ground.labels  # learned before the clock runs

    def caller() -> None:
        with Client(url, key, deadline=120.0) as client:
            while not asked.stopped.is_set():
                asked.ask(client)

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        asked.stopped.set()
        for thread in threads:
            thread.join()


def with_key(folder: Path) -> str:
    """A store beside the products, and the key of a caller in it."""
    store = open_at(folder)
    try:
        return add_key(store, "faults", "acme", ["admin"], datetime.now(UTC))[0]
    finally:
        store.close()


def kept(folder: Path) -> tuple[int, int, str]:
    """(answers that the store keeps, calls it has without one, what SQLite says of its own file)."""
    with sqlite3.connect(folder / ".trunkline" / "store.db") as store:
        total, answered = store.execute("select count(*), count(status) from idempotency").fetchone()
        (whole,) = store.execute("pragma integrity_check").fetchone()
    return int(answered), int(total - answered), str(whole)


def until_asked(asked: Asked, more: int, server: Running, seconds: float = 120.0) -> None:
    """Until so many more calls have an answer."""
    goal, end = len(asked.answers) + more, time.monotonic() + seconds
    while len(asked.answers) < goal:
        assert time.monotonic() < end, f"no more answers: {asked.errors[:1]}, {server.log.read_text()[-1000:]}"
        time.sleep(0.02)
