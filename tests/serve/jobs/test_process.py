"""Bulk jobs in real server processes that are killed, stopped and started again, on both databases."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.serve.jobs.made import answers, check, csv_rows, ended, shown, submitted, until
from tests.serve.parts import ToyHead, make_product
from tests.serve.test_run import Running, started
from tests.serve.test_workers import Group

ROOT = Path(__file__).parents[3]
SERVER = [sys.executable, "-m", "tests.serve.jobs.slow"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store of every server of the test."""
    sqlite = request.param == "sqlite"
    found = f"sqlite:///{tmp_path / 'store.db'}" if sqlite else str(request.getfixturevalue("database"))
    monkeypatch.setenv("TRUNKLINE_STORE", found)
    return found


@pytest.fixture
def products(tmp_path: Path) -> Path:
    root = tmp_path / "products"
    make_product(root, "support")
    return root


@contextmanager
def serving(products: Path) -> Iterator[tuple[Running, httpx.Client]]:
    log = products.parent / f"log-{time.monotonic_ns()}"
    with (
        started([*SERVER, str(products)], log) as server,
        httpx.Client(base_url=server.url, timeout=20) as client,
    ):
        yield server, client


def further(client: httpx.Client, job: str, than: int) -> int:
    """How many rows it has once there are more than that; it runs on then."""
    now = until(lambda: shown(client, job), lambda found: found["rows_done"] > than)
    assert now["state"] == "running"
    return int(now["rows_done"])


def kill(server: Running) -> None:
    server.process.kill()
    server.process.communicate(timeout=20)


@pytest.mark.usefixtures("url")
def test_killed_at_any_moment_every_row_is_answered_once_and_in_order(products: Path) -> None:
    rng, count, seen = random.Random(0), 1_500, 0
    with serving(products) as (server, client):
        job = submitted(client, csv_rows(count))["id"]
        kill(server)
    for _ in range(4):
        with serving(products) as (server, client):
            seen = further(client, job, seen)
            time.sleep(rng.random() * 0.1)
            kill(server)
    with serving(products) as (_, client):
        found = ended(client, job)
        assert (found["state"], found["rows_done"], found["rows_total"], found["rows_failed"]) == ("done", count, count, 0)
        check(answers(client, job), count)
        kept = products / ".trunkline" / "jobs" / job
        assert not (kept / "rows").exists()
        assert len(list(kept.iterdir())) > 1  # it was taken up again, and more than once


@pytest.mark.usefixtures("url")
def test_a_server_that_is_told_to_stop_leaves_the_job_to_the_next_at_once(products: Path) -> None:
    count = 1_200
    with serving(products) as (server, client):
        job = submitted(client, csv_rows(count))["id"]
        before = until(lambda: shown(client, job), lambda found: found["rows_done"] > 0)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 5
        assert server.process.returncode == 0
    with serving(products) as (_, client):
        now = shown(client, job)
        assert now["rows_done"] >= before["rows_done"]
        assert ended(client, job)["state"] == "done"
        check(answers(client, job), count)


@pytest.mark.usefixtures("url")
def test_a_job_ends_on_the_version_it_was_made_for(products: Path) -> None:
    count = 600
    with serving(products) as (_, client):
        job = submitted(client, csv_rows(count))
        make_product(products, "support", labels=("x", "y", "z"), head=ToyHead("text", [2.0] * 3)).set_live("v2")
        live = {"row": {"text": "a"}}
        until(
            lambda: client.post("/v1/products/support/predict", json=live).json()["version"], lambda found: found == "v2"
        )
    with serving(products) as (_, client):  # v1 serves no more, here or in memory
        assert client.post("/v1/products/support/predict", json=live).json()["answers"][0]["label"] == "x"
        found = ended(client, job["id"])
        assert (found["state"], found["version"], found["digest"]) == ("done", "v1", job["digest"])
        check(answers(client, job["id"]), count)


@pytest.mark.usefixtures("url")
def test_several_workers_do_several_jobs_each_once(products: Path) -> None:
    """One worker is killed meanwhile; whichever is asked knows of every job."""
    log = products.parent / "log"
    counts = [300, 200, 100, 400, 50, 250]
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*SERVER, str(products), "2"], cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    try:
        group = Group(process, log, 2)
        with httpx.Client(base_url=group.url, timeout=20) as client:
            jobs = [submitted(client, csv_rows(count))["id"] for count in counts]
        with client_of(group) as client:
            until(lambda: shown(client, jobs[0]), lambda found: found["rows_done"] > 0)
        os.kill(group.workers()[0], signal.SIGKILL)
        for job, count in zip(jobs, counts, strict=True):
            with client_of(group) as client:
                assert ended(client, job)["state"] == "done"
                check(answers(client, job), count)
        group.stop()
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=20)


def client_of(group: Group) -> httpx.Client:
    """Calls go on when the worker that they were with is killed."""
    return httpx.Client(base_url=group.url, timeout=20, transport=httpx.HTTPTransport(retries=5))


def test_without_a_store_one_is_made_with_the_first_job(products: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRUNKLINE_STORE", raising=False)
    store = products / ".trunkline" / "store.db"
    with serving(products) as (_, client):
        assert client.get("/v1/jobs").json() == {"jobs": []}
        assert client.get(f"/v1/jobs/{'0' * 32}").status_code == 404
        assert not store.exists()
        job = submitted(client, csv_rows(30))["id"]
        assert ended(client, job)["state"] == "done"
        assert store.exists()
    with serving(products) as (_, client):
        check(answers(client, job), 30)
