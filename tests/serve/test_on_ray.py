"""Serving on a Ray cluster: what goes to replicas and what comes back, and the real thing with a replica killed."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient
from tests.on_ray import processes
from tests.products import text_product
from tests.serve.parts import ToyTable, make_product

from trunkline.cli import main
from trunkline.errors import BundleError, MissingExtra, TrunklineError
from trunkline.serve.app import build
from trunkline.serve.live import LiveCatalog
from trunkline.serve.on_ray import order
from trunkline.serve.on_ray.away import Away, trunks_of
from trunkline.serve.on_ray.cluster import replicas
from trunkline.serve.on_ray.replica import Replica
from trunkline.serve.schedule import Spent, Ticket
from trunkline.serve.wire import LateError, UnavailableError
from trunkline.types import Call

PREDICT = "/v1/products/{}/predict"


class LostError(Exception):
    """What Ray raises for a call whose replica died."""


class Near:
    """A cluster whose replicas are objects of this process: each method is called as Ray calls it, on plain values.
    Every `dies`th call is lost once the replica has it."""

    lost = (LostError,)

    def __init__(self, folder: Path, dies: int = 0) -> None:
        self._folder, self._dies = folder, dies
        self.calls: Counter[tuple[tuple[str, ...], str]] = Counter()
        self._made: dict[tuple[str, ...], Replica] = {}

    async def group(self, trunks: tuple[str, ...]) -> _NearGroup:
        if trunks not in self._made:
            self._made[trunks] = await asyncio.to_thread(Replica, str(self._folder), list(trunks))
        return _NearGroup(self, trunks, self._made[trunks])

    def stop(self) -> None:
        for made in self._made.values():
            made._watcher.stop()


class _NearGroup:
    lost: tuple[type[Exception], ...] = (LostError,)

    def __init__(self, cluster: Near, trunks: tuple[str, ...], replica: Replica) -> None:
        self._cluster, self._trunks, self._replica = cluster, trunks, replica

    async def call(self, method: str, *told: Any) -> Any:
        self._cluster.calls[self._trunks, method] += 1
        reply = await getattr(self._replica, method)(*told)
        if self._cluster._dies and self._cluster.calls.total() % self._cluster._dies == 0:
            raise LostError
        return reply


@contextmanager
def near(folder: Path, dies: int = 0) -> Iterator[tuple[TestClient, Near]]:
    """A server whose trunks are computed by replicas, and those."""
    cluster = Near(folder, dies)
    app = build(LiveCatalog(folder, here=lambda trunk: False), away=lambda here, executed: Away(here, executed, cluster))
    try:
        with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False) as client:
            yield client, cluster
    finally:
        cluster.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_product(tmp_path, "support")
    make_product(tmp_path, "mood", labels=("good", "bad"))
    make_product(tmp_path, "risk", inputs={"amount": "number"}, head=ToyTable("amount", [1.0]), labels=("高", "低"))
    make_product(tmp_path, "failed", passed=False)
    return tmp_path


CALLS: list[tuple[str, str, Any]] = [
    ("POST", PREDICT.format("support"), {"rows": [{"text": "aab"}, {"text": "ccc"}]}),
    ("POST", PREDICT.format("support") + "?scores=all", {"row": {"text": "b"}}),
    ("POST", PREDICT.format("support"), {"rows": [{"text": "a"}, {"text": 7}, {"text": "break"}]}),
    ("POST", PREDICT.format("support"), {"row": {"text": "break"}}),
    ("POST", PREDICT.format("support"), {"rows": [{"words": "a"}]}),
    ("POST", PREDICT.format("risk"), {"row": {"amount": 3}}),
    ("POST", PREDICT.format("failed"), {"row": {"text": "a"}}),
    ("POST", PREDICT.format("nobody"), {"row": {"text": "a"}}),
    ("POST", "/v1/matrix/predict", {"row": {"text": "aab"}}),
    ("POST", "/v1/matrix/predict", {"row": {"text": "aab", "amount": 3}}),
    ("POST", "/v1/matrix/predict", {"row": {"text": "aab"}, "products": ["risk", "mood", "nobody", "support", "failed"]}),
    ("POST", "/v1/embeddings", {"model": "toy", "input": ["aab", "c"]}),
    ("POST", "/v1/embeddings", {"model": "support", "input": "aab"}),
    ("POST", "/v2/models/support/infer", {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["aab"]}]}),
    ("GET", "/v1/products", None),
    ("GET", "/v2/models/support", None),
    ("GET", "/healthz", None),
    ("GET", "/openapi.json", None),
]


def test_every_route_answers_as_without_replicas(folder: Path) -> None:
    with TestClient(build(LiveCatalog(folder)), "http://127.0.0.1", raise_server_exceptions=False) as plain:
        wanted = [plain.request(method, path, json=body, headers={"x-request-id": "r"}) for method, path, body in CALLS]
    with near(folder) as (client, cluster):
        found = [client.request(method, path, json=body, headers={"x-request-id": "r"}) for method, path, body in CALLS]
    for call, one, two in zip(CALLS, wanted, found, strict=True):
        assert (two.status_code, two.content) == (one.status_code, one.content), call
    assert {trunks for trunks, _ in cluster.calls} == {("trunk:toy",)}  # a table is answered by the server itself
    assert {method for _, method in cluster.calls} == {"rows", "matrix", "vectors"}


def test_the_server_itself_loads_no_trunk(folder: Path) -> None:
    live = LiveCatalog(folder, here=lambda trunk: False)
    engine = live.engines["trunk:toy"]
    assert engine.card.id == "toy"
    with pytest.raises(TrunklineError, match="computed elsewhere"):
        engine.run(Call("trunk:toy", ["a"]))
    assert live.prove_some(10)
    assert live.snapshot().refused.keys() == {"failed"}


def test_what_engines_of_replicas_run_is_counted_by_the_server(folder: Path) -> None:
    with near(folder) as (client, _):
        for at in range(3):
            assert client.post(PREDICT.format("support"), json={"rows": [{"text": f"a{at}"}, {"text": f"b{at}"}]}).status_code == 200
        found = client.get("/metrics").text
    assert 'trunkline_executed_rows_total{engine="trunk:toy"} 6.0' in found
    batches, seconds = (
        float(re.findall(rf'^trunkline_{name}_total{{engine="trunk:toy"}} (.+)$', found, re.M)[0]) for name in ("executions", "executed_seconds")
    )
    assert 3 <= batches <= 6
    assert seconds > 0


def test_a_call_whose_replica_dies_is_sent_again(folder: Path) -> None:
    with near(folder, dies=2) as (client, cluster):
        for at in range(20):
            reply = client.post(PREDICT.format("support"), json={"row": {"text": f"a{at}"}})
            assert reply.status_code == 200
            assert reply.json()["answers"][0]["label"] == "fee"
    assert cluster.calls.total() > 30


def test_one_that_is_always_lost_ends_at_its_deadline(folder: Path) -> None:
    with near(folder, dies=1) as (client, _):
        reply = client.post(PREDICT.format("support"), json={"row": {"text": "a"}}, headers={"x-timeout-ms": "500"})
    assert reply.status_code == 504


def test_a_replica_that_never_answers_is_given_up_at_the_deadline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forever(self: _NearGroup, method: str, *told: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(_NearGroup, "call", forever)
    with near(folder) as (client, _):
        reply = client.post(PREDICT.format("support"), json={"row": {"text": "a"}}, headers={"x-timeout-ms": "200"})
    assert reply.status_code == 504


def test_a_replica_answers_as_the_version_that_it_is_asked_for(folder: Path) -> None:
    """One that has no role there, as where the server has seen a deployment before the replica did."""
    shelf = make_product(folder, "mood", labels=("fine", "poor"))
    replica = Replica(str(folder), ["trunk:toy"])
    try:
        for version, label in (("v1", "good"), ("v2", "fine"), ("v2", "fine"), ("v1", "good")):
            named = {"product": "mood", "version": version, "digest": shelf.open(version).manifest.digest.answers}
            body, _ = order.opened(asyncio.run(replica.rows(order.who(Ticket()), named, [{"text": "aa"}], None)))
            assert orjson.loads(body)[0]["label"] == label
    finally:
        replica._watcher.stop()


def test_another_bundle_under_the_same_version_is_refused(folder: Path, tmp_path: Path) -> None:
    replica = Replica(str(folder), ["trunk:toy"])
    try:
        named = {"product": "support", "version": "v1", "digest": "0" * 64}
        reply = asyncio.run(replica.rows(order.who(Ticket()), named, [{"text": "a"}], None))
        with pytest.raises(UnavailableError, match="another 'support' v1"):
            order.opened(reply)
        gone = asyncio.run(replica.rows(order.who(Ticket()), {**named, "product": "new"}, [{"text": "a"}], None))
        with pytest.raises(UnavailableError, match="'new' v1"):
            order.opened(gone)
    finally:
        replica._watcher.stop()


@pytest.mark.parametrize(
    "error",
    [
        LateError("late", hint="again"),
        BundleError("damaged", where="/x", found="a", wanted="b"),
        MissingExtra("torch", "train"),
        TrunklineError("plain"),
    ],
)
def test_errors_of_ours_come_back_whole(error: TrunklineError) -> None:
    with pytest.raises(type(error)) as caught:
        order.opened(order.failed(error))
    assert type(caught.value) is type(error)
    assert caught.value.as_dict() == error.as_dict()


def test_other_errors_come_back_without_their_words() -> None:
    with pytest.raises(RuntimeError, match=r"^a replica raised ValueError$"):
        order.opened(order.failed(ValueError("secret row content")))


def test_a_ticket_survives_the_way() -> None:
    sent = Ticket("acme", "shop", "support", time.monotonic() + 5, reuse=False)
    got = order.ticket(order.who(sent))
    assert (got.organisation, got.caller, got.product, got.reuse) == ("acme", "shop", "support", False)
    assert got.deadline == pytest.approx(sent.deadline, abs=0.5)
    assert order.ticket(order.who(Ticket())).deadline is None
    assert order.opened(order.answered(b"x", Spent(1.0, 2.0, 3, 4))) == (b"x", Spent(1.0, 2.0, 3, 4))


def test_products_go_by_the_trunks_they_stand_on(folder: Path) -> None:
    products = LiveCatalog(folder).snapshot().products
    assert {name: trunks_of(served) for name, served in products.items()} == {
        "support": ("trunk:toy",), "mood": ("trunk:toy",), "risk": (),
    }  # fmt: skip


@pytest.mark.parametrize(("told", "wanted"), [("2", (2, 2)), ("1-8", (1, 8)), (" 3-3 ", (3, 3))])
def test_how_many_replicas(told: str, wanted: tuple[int, int]) -> None:
    assert replicas(told) == wanted


@pytest.mark.parametrize("told", ["0", "5-2", "many", "", "1-", "-1", "1.5"])
def test_how_many_replicas_can_not_be_read(told: str) -> None:
    found = CliRunner().invoke(main, ["serve", ".", "--on", "ray", "--replicas", told, "--json"])
    assert found.exit_code == 2
    assert "number of replicas" in found.output


# ---- the real thing -------------------------------------------------------------------------------


def replica_pids(mark: str) -> list[int]:
    """Replicas of trunks that a server with this in its environment started."""
    return processes.of("ray::ServeReplica:trunkline-", mark)


def started(folder: Path, log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """`trunkline serve --on ray` with two replicas of each trunk, and its address. Ray gives its own processes 30
    seconds to come up, which on busy cores may be too few: then it is tried again."""
    words = ["serve", str(folder), "--on", "ray", "--replicas", "2", "--port", "0"]
    command = [sys.executable, "-c", "import sys; from trunkline.cli import main; sys.exit(main())", *words]
    for _ in range(4):
        with log.open("w") as errors:
            process = subprocess.Popen(
                command, stderr=errors, stdout=subprocess.DEVNULL, env={**os.environ, "RAY_AUTH_MODE": "disabled"}
            )
        until = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < until:
            if found := re.search(r"(http://127\.0\.0\.1:\d+)/docs", log.read_text()):
                return process, found[1]
            time.sleep(0.5)
        ended(process)
        if "Ray can't start" not in log.read_text():
            break
    raise AssertionError(log.read_text()[-3000:])


def ended(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(20)


@contextmanager
def on_ray(folder: Path, log: Path) -> Iterator[str]:
    process, url = started(folder, log)
    try:
        yield url
    finally:
        ended(process)


@pytest.mark.slow
def test_a_killed_replica_loses_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TRUNKLINE_THREADS", "1")
    for name in ("one", "two"):
        text_product(tmp_path / "products" / name).train()
    with TestClient(build(LiveCatalog(tmp_path / "products")), "http://127.0.0.1") as plain:
        wanted = plain.post(PREDICT.format("one"), json={"row": {"text": "my parcel is late"}}).json()
    answers: list[Any] = []
    over = threading.Event()

    def load(at: int) -> None:
        with httpx.Client(timeout=60) as client:
            while not over.is_set():
                body = {"row": {"text": "my parcel is late"}}
                try:
                    reply = client.post(url + PREDICT.format("one"), json=body)
                    answers.append((reply.status_code, reply.json()))
                except httpx.HTTPError as error:
                    answers.append((0, repr(error)))

    with on_ray(tmp_path / "products", tmp_path / "log") as url:
        threads = [threading.Thread(target=load, args=(at,)) for at in range(8)]
        for thread in threads:
            thread.start()
        try:
            until = time.monotonic() + 300
            while len(answers) < 50 or len(replica_pids(str(tmp_path))) < 2:
                assert time.monotonic() < until, f"{len(answers)} answers, {replica_pids(str(tmp_path))}"
                time.sleep(0.05)
            os.kill(replica_pids(str(tmp_path))[0], signal.SIGKILL)
            killed = len(answers)
            while len(answers) < killed + 100:
                assert time.monotonic() < until
                time.sleep(0.05)
        finally:
            over.set()
            for thread in threads:
                thread.join(70)
    assert {status for status, _ in answers} == {200}
    assert all(answer == wanted for _, answer in answers)
