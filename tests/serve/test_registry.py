"""Servers that follow one registry: the table says what serves, the folders hold the bundles."""

from __future__ import annotations

import logging
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.postgres import Cluster
from tests.serve.parts import ToyHead, make_bundle, make_product
from tests.serve.test_run import Running, running
from tests.store.conftest import address

from trunkline.deploying import deploy, rollback, status
from trunkline.errors import GateFailed
from trunkline.serve.live import LiveCatalog
from trunkline.serve.watch import Watcher
from trunkline.store.catalog import Registry
from trunkline.store.database import open_store

OK = {"status": "ok", "label": "fee"}
FEE, CARD = ToyHead("text", [1.0, 1.0, 1.0]), ToyHead("text", [-1.0, 1.0, 1.0])  # "aaab": fee, card


@pytest.fixture(autouse=True)
def _logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("trunkline.serve"), "propagate", True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return address(request.param, request, tmp_path)


@pytest.fixture
def registry(url: str) -> Iterator[Registry]:
    opened = Registry(url, open_store(url))
    yield opened
    opened.close()


@pytest.fixture
def products(tmp_path: Path) -> Path:
    """Two versions that answer otherwise; nothing is deployed."""
    root = tmp_path / "one"
    make_product(root, head=FEE)
    make_product(root, head=CARD)
    return root


def machine(tmp_path: Path, name: str, products: Path) -> Path:
    """Another machine's folder with the same bundles."""
    shutil.copytree(products, tmp_path / name)
    return tmp_path / name


def version(live: LiveCatalog) -> str | None:
    served = live.snapshot().products.get("support")
    return served.bundle.version if served is not None else None


def test_the_table_says_what_serves_whatever_the_folder_says(products: Path, url: str, registry: Registry) -> None:
    deploy(products / "support", "v2")
    live = LiveCatalog(products, registry=registry)
    assert "no version of the product was deployed" in live.snapshot().refused["support"].what
    assert registry.records() == {}  # a server deploys nothing
    watcher = Watcher(live)
    watcher.look()
    deploy(products / "support", "v1", registry=url)
    watcher.look()
    assert (version(live), dict(live.snapshot().refused)) == ("v1", {})
    deploy(products / "support", "v2", registry=url)
    watcher.look()
    assert version(live) == "v2"
    assert rollback(products / "support", "slow", registry=url)["live"] == "v1"
    watcher.look()
    assert version(live) == "v1"
    (found,) = status(products, url)["products"]
    assert (found["live"], found["previous"], found["changes"][-1]["reason"]) == ("v1", None, "slow")
    assert [change["version"] for change in found["changes"]] == ["v1", "v2", "v1"]
    assert status(products)["products"][0]["live"] == "v2"  # the folder's own record stands as it was


def test_a_server_that_starts_finds_it_there(products: Path, url: str, registry: Registry) -> None:
    deploy(products / "support", "v1", registry=url)
    deploy(products / "support", "v2", canary=0.25, registry=url)
    route = LiveCatalog(products, registry=registry).snapshot().routes["support"]
    assert (route.roles(), route.share) == ({"live": "v1", "canary": "v2"}, 0.25)


def test_an_override_on_record_holds_on_every_machine(tmp_path: Path, products: Path, url: str, registry: Registry) -> None:
    make_product(products, passed=False)
    other = machine(tmp_path, "two", products)
    with pytest.raises(GateFailed):
        deploy(products / "support", "v3", registry=url)
    deploy(products / "support", "v3", override="a pilot", registry=url)
    assert version(LiveCatalog(other, registry=registry)) == "v3"


def test_a_bundle_with_another_digest_is_refused(tmp_path: Path, products: Path, url: str, registry: Registry) -> None:
    other = machine(tmp_path, "two", products)
    shutil.rmtree(other / "support" / "bundles" / "v2")
    make_bundle(other / "support" / "bundles" / "v2", "v2", head=FEE)
    deploy(products / "support", "v1", registry=url)
    live = LiveCatalog(other, registry=registry)
    watcher = Watcher(live)
    watcher.look()
    deploy(products / "support", "v2", registry=url)
    watcher.look()
    assert version(live) == "v1"  # it serves on
    trouble = live.snapshot().troubles["support"]
    assert "not the bundle that was deployed" in trouble.what
    assert trouble.wanted == f"digest {registry.of('support').read().digest('v2')[:12]}"
    late = LiveCatalog(other, registry=registry)
    assert (version(late), "not the bundle" in late.snapshot().refused["support"].what) == (None, True)
    deploy(other / "support", "v2", registry=url)  # this one is meant now, and the other machine has another
    watcher.look()
    assert (version(live), live.snapshot().troubles) == ("v2", {})
    here = LiveCatalog(products, registry=registry)
    assert "not the bundle" in here.snapshot().refused["support"].what


def test_the_same_version_with_another_digest_is_swapped(tmp_path: Path, products: Path, url: str, registry: Registry) -> None:
    deploy(products / "support", "v1", registry=url)
    live = LiveCatalog(products, registry=registry)
    before = live.snapshot().products["support"].bundle.manifest.digest.answers
    shutil.rmtree(products / "support" / "bundles" / "v1")
    make_bundle(products / "support" / "bundles" / "v1", head=CARD)
    deploy(products / "support", "v1", registry=url)
    Watcher(live).look()
    assert live.snapshot().products["support"].bundle.manifest.digest.answers != before


def test_a_bundle_that_comes_late_is_taken_once_it_is_whole(tmp_path: Path, products: Path, url: str, registry: Registry) -> None:
    other = machine(tmp_path, "two", products)
    shutil.rmtree(other / "support" / "bundles" / "v2")
    deploy(products / "support", "v1", registry=url)
    live = LiveCatalog(other, registry=registry)
    watcher = Watcher(live)
    deploy(products / "support", "v2", registry=url)
    watcher.look(find=True)
    assert "no version 'v2' here" in live.snapshot().troubles["support"].what
    source, target = products / "support" / "bundles" / "v2", other / "support" / "bundles" / "v2"
    target.mkdir()
    files = sorted(source.iterdir(), key=lambda file: file.name == "head.safetensors")  # the weights last
    for file in files:
        shutil.copy(file, target)
        watcher.look(find=True)
        assert version(live) == ("v2" if file is files[-1] else "v1")
    assert live.snapshot().troubles == {}


def test_a_product_that_the_folder_lacks_is_refused_until_it_comes(
    tmp_path: Path, products: Path, url: str, registry: Registry
) -> None:
    deploy(products / "support", "v1", registry=url)
    other = tmp_path / "two"
    other.mkdir()
    live = LiveCatalog(other, registry=registry)
    assert "no bundle of it here" in live.snapshot().refused["support"].what
    (absent,) = status(other, url)["products"]
    assert (absent["product"], absent["folder"], "no bundle" in absent["error"]["what"]) == ("support", None, True)
    watcher = Watcher(live)
    watcher.look(find=True)
    shutil.copytree(products / "support", other / "support")
    watcher.look(find=True)
    assert (version(live), dict(live.snapshot().refused)) == ("v1", {})
    shutil.rmtree(other / "support")
    watcher.look(find=True)
    assert (version(live), list(live.snapshot().refused)) == (None, ["support"])


def test_a_bundle_by_itself_is_no_version(tmp_path: Path, url: str, registry: Registry) -> None:
    make_product(tmp_path / "one")
    deploy(tmp_path / "one" / "support", "v1", registry=url)
    make_bundle(tmp_path / "two" / "support")
    live = LiveCatalog(tmp_path / "two", registry=registry)
    assert "trunkline export, import" in live.snapshot().refused["support"].hint


def test_rules_see_the_traffic_of_all_machines_and_act_once(
    tmp_path: Path, products: Path, url: str, registry: Registry
) -> None:
    rules = {"promote": ["requests >= 30", "error_rate.high <= 0.2"], "min_requests": 20}
    make_product(products, spec={"rollout": rules})
    deploy(products / "support", "v1", registry=url)
    deploy(products / "support", "v3", canary=0.5, registry=url)
    lives = [LiveCatalog(root, registry=registry) for root in (products, machine(tmp_path, "two", products))]
    watchers = [Watcher(live) for live in lives]
    for n in range(2):
        for live in lives:
            route = live.snapshot().routes["support"]
            assert route.canary is not None
            for _ in range(7 + n):
                route.of(route.canary).request([OK], 0.002)
        for watcher in watchers:
            watcher.look()
        if n == 0:  # 14 in all
            assert [live.rollout("support")["versions"][1]["requests"] for live in lives] == [14, 14]
            assert status(products, url)["products"][0]["traffic"]["v3"]["requests"] == 14
    for watcher in watchers:
        watcher.look()
    assert [version(live) for live in lives] == ["v3", "v3"]
    changes = registry.of("support").read().deployments
    assert [(change.how, change.version) for change in changes] == [("deploy", "v1"), ("deploy", "v3"), ("promote", "v3")]
    assert changes[-1].figures["requests"] == 30


def test_training_spares_what_serves_by_the_table(products: Path, url: str) -> None:
    from trunkline.product import Product

    deploy(products / "support", "v1", registry=url)
    assert Product(products / "support", registry=url).shelf.prune(1) == []
    assert Product(products / "support").shelf.prune(1) == ["v1"]


def test_a_database_that_goes_away_stops_nothing(
    products: Path, postgres: Cluster, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = database.partition("@/")[2].partition("?")[0]
    registry = Registry(database, open_store(database))
    deploy(products / "support", "v1", registry=database)
    live = LiveCatalog(products, registry=registry)
    with Watcher(live, every=0.02):
        postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        postgres.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        wait(lambda: bool(said(caplog)))
        route = live.snapshot().routes["support"]
        route.of(route.live).request([OK], 0.002)
        assert live.rollout("support")["versions"][0]["requests"] == 1
        postgres.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        deploy(products / "support", "v2", registry=database)
        wait(lambda: version(live) == "v2")
    fields = said(caplog)
    assert {one["what"] for one in fields} == {"the store can't be read or written"}
    assert fields
    once = {(one["about"], one["found"]) for one in fields}  # PostgreSQL says first that it ends a connection, then that it takes none
    assert len(once) == len(fields)
    assert {about for about, _ in once} <= {"deployments", "figures"}
    assert live.snapshot().troubles == {}
    assert registry.of("support").read().live == "v2"
    registry.close()


def said(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    return [vars(record)["fields"] for record in caplog.records if record.message == "watching broke"]


def wait(ready: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not ready() and time.monotonic() < until:
        time.sleep(0.02)
    assert ready()


# ---- two real servers ----


def test_two_servers_follow_one_table_under_load(
    tmp_path: Path, products: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = machine(tmp_path, "two", products)
    deploy(products / "support", "v1", registry=url)
    monkeypatch.setenv("TRUNKLINE_REGISTRY", url)  # the servers are told; nothing in their folders says a thing
    with ExitStack() as stack:
        servers = [
            stack.enter_context(running(root, tmp_path / f"log{at}")) for at, root in enumerate((products, other))
        ]
        found: list[Counter[Any]] = [Counter(), Counter()]
        done = threading.Event()
        callers = [
            threading.Thread(target=call, args=(server, found[at], done)) for at, server in enumerate(servers) for _ in range(2)
        ]
        for caller in callers:
            caller.start()
        try:
            deploy(products / "support", "v2", registry=url)
            wait(lambda: [answered(server) for server in servers] == ["v2", "v2"])
            rollback(other / "support", registry=url)
            wait(lambda: [answered(server) for server in servers] == ["v1", "v1"])
        finally:
            done.set()
            for caller in callers:
                caller.join(20)
        for server in servers:
            assert server.stop()
    assert {key for one in found for key in one} == {(200, "v1", "fee"), (200, "v2", "card")}
    assert [status(root)["products"][0]["live"] for root in (products, other)] == [None, None]
    assert Registry(url).of("support").read().live == "v1"


def call(server: Running, found: Counter[Any], done: threading.Event) -> None:
    with httpx.Client(base_url=server.url, timeout=20) as client:
        while not done.is_set():
            reply = client.post("/v1/products/support/predict", json={"row": {"text": "aaab"}})
            said = reply.json()
            found[reply.status_code, said.get("version"), said.get("answers", [{}])[0].get("label")] += 1


def answered(server: Running) -> str:
    reply = httpx.post(f"{server.url}/v1/products/support/predict", json={"row": {"text": "aaab"}}, timeout=20)
    return str(reply.json()["version"])


def test_a_registry_that_cant_be_reached_is_said_at_start(products: Path, tmp_path: Path) -> None:
    import os
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "trunkline", "serve", str(products), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TRUNKLINE_REGISTRY": f"postgresql+psycopg://u:secret@/none?host={tmp_path}"},
    )
    assert done.returncode == 2
    assert "the store can't be read" in done.stderr
    assert "secret" not in done.stderr
