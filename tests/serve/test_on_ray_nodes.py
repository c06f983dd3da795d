"""Serving on a Ray cluster of two machines, of which one is killed."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient
from tests.on_ray.two_nodes import two_nodes
from tests.products import text_product
from tests.serve.test_on_ray import PREDICT, on_ray, replica_pids

from trunkline.serve.app import build
from trunkline.serve.live import LiveCatalog

CALLERS, BEFORE, AFTER = 4, 50, 100
BODY = {"row": {"text": "my parcel is late"}}


class Load:
    """Callers that call on until told to stop, a thousand calls each at most."""

    def __init__(self, url: str) -> None:
        self.answers: list[tuple[int, Any]] = []
        self._url, self._over = url + PREDICT.format("one"), threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(70)

    def until(self, answers: int, seconds: float = 300) -> None:
        end = time.monotonic() + seconds
        while len(self.answers) < answers:
            assert time.monotonic() < end, f"{len(self.answers)} answers"
            time.sleep(0.05)

    def _call(self) -> None:
        with httpx.Client(timeout=60) as client:
            for _ in range(1000):
                if self._over.is_set():
                    return
                try:
                    reply = client.post(self._url, json=BODY)
                    self.answers.append((reply.status_code, reply.json()))
                except httpx.HTTPError as error:
                    self.answers.append((0, repr(error)))


@pytest.mark.slow
def test_a_killed_machine_loses_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TRUNKLINE_THREADS", "1")
    text_product(tmp_path / "products" / "one").train()
    with TestClient(build(LiveCatalog(tmp_path / "products")), "http://127.0.0.1") as plain:
        wanted = plain.post(PREDICT.format("one"), json=BODY).json()
    with two_nodes(tmp_path / "nodes") as machines:
        monkeypatch.setenv("RAY_ADDRESS", machines.address)
        with on_ray(tmp_path / "products", tmp_path / "log") as url, Load(url) as load:
            load.until(BEFORE)
            assert [machines.on_second(pid) for pid in replica_pids(str(tmp_path))].count(True) == 1  # the other is on the first
            machines.kill_second()
            load.until(len(load.answers) + AFTER)
            assert len(replica_pids(str(tmp_path))) == 1
            counted = httpx.get(f"{url}/metrics").text
    assert {status for status, _ in load.answers} == {200}
    assert all(answer == wanted for _, answer in load.answers)
    assert 'trunkline_executed_rows_total{engine="trunk:hash"}' in counted
