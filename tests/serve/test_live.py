from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute
from tests.serve.parts import ToyHead, ToyTable, make_bundle, make_product

from trunkline.bundle.replay import Replay
from trunkline.errors import BundleError
from trunkline.serve.answer import predict
from trunkline.serve.catalog import Served
from trunkline.serve.describe import describe_one
from trunkline.serve.live import LiveCatalog, routes
from trunkline.serve.rollout import identity
from trunkline.serve.wire import UnavailableError, UnknownProductError

FEE, CARD = ToyHead("text", [1.0, 1.0, 1.0]), ToyHead("text", [-1.0, 1.0, 1.0])  # "aaab": fee, card
ROW = {"text": "aaab"}
WRONG = [Replay({"text": "aaa"}, {"status": "ok", "label": "other"})]


@pytest.fixture(autouse=True)
def _logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("trunkline.serve"), "propagate", True)


def two_versions(root: Path) -> LiveCatalog:
    shelf = make_product(root, head=FEE)
    make_product(root, head=CARD)
    shelf.set_live("v1")
    return LiveCatalog(root)


def label(live: LiveCatalog, served: Served | None = None) -> Any:
    now = live.snapshot()
    return predict(served or now.products["support"], [ROW], now.ask())[0]["label"]


def test_a_swap_changes_what_answers_but_not_what_was_begun(tmp_path: Path) -> None:
    live = two_versions(tmp_path)
    before = live.snapshot()
    served = before.products["support"]
    assert label(live) == "fee"
    assert live.load("support", "v2").bundle.version == "v2"
    assert label(live) == "card"
    assert (before.products["support"], label(live, served)) == (served, "fee")
    assert live.load("support").bundle.version == "v1"  # what its shelf says


def test_nothing_changed_is_the_same_route_with_its_counts(tmp_path: Path) -> None:
    live = two_versions(tmp_path)
    route = live.snapshot().routes["support"]
    assert live.update(tmp_path / "support") is None
    assert live.snapshot().routes["support"] is route


def test_a_version_that_serves_on_is_not_loaded_again(tmp_path: Path) -> None:
    live = two_versions(tmp_path)
    route = live.snapshot().routes["support"]
    shelf = make_product(tmp_path)
    shelf.set_canary(0.25, "v2")
    shelf.set_shadow("v3")
    assert live.update(tmp_path / "support") is None
    now = live.snapshot().routes["support"]
    assert now.live is route.live
    assert (now.roles(), now.share) == ({"live": "v1", "canary": "v2", "shadow": "v3"}, 0.25)
    assert now.of(now.live) is not route.of(route.live)  # a new comparison begins


def _flip(folder: Path) -> None:
    (folder / "card.md").write_text("other")


def _gone(folder: Path) -> None:
    folder.rename(folder.parent.parent / "elsewhere")


@pytest.mark.parametrize(("damage", "says"), [(_flip, "changed"), (_gone, "no version 'v2'")])
def test_a_damaged_bundle_leaves_the_old_one_serving(
    tmp_path: Path, damage: Callable[[Path], None], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    live = two_versions(tmp_path)
    shelf = make_product(tmp_path)
    shelf.set_live("v2")
    damage(shelf.folder("v2"))
    for _ in range(2):
        error = live.update(tmp_path / "support")
        assert error is not None
        assert says in error.what
    assert label(live) == "fee"
    assert [r.message for r in caplog.records].count("the old version serves on") == 1
    assert says in live.rollout("support")["trouble"]["what"]
    with pytest.raises(UnavailableError, match=says):
        live.load("support", "v2")
    shelf.set_live("v3")
    assert live.update(tmp_path / "support") is None
    assert (live.snapshot().troubles, live.rollout("support")["trouble"]) == ({}, None)


def test_what_serves_is_damaged_on_disk(tmp_path: Path) -> None:
    """It serves on from memory; who asks for it anew, or for all to be read again, is told before a restart would be."""
    live = two_versions(tmp_path)
    assert label(live) == "fee"
    card = live.snapshot().products["support"].bundle.folder / "card.md"
    whole = card.read_bytes()
    card.unlink()
    with pytest.raises(UnavailableError, match="can't be read"):
        live.load("support")
    assert label(live) == "fee"
    card.write_bytes(whole + b"x")
    live.verify()
    assert "changed" in live.snapshot().troubles["support"].what
    assert label(live) == "fee"
    card.write_bytes(whole)
    live.verify()
    assert live.snapshot().troubles == {}
    assert live.load("support").bundle.version == "v1"


def test_one_that_answers_otherwise_here_is_not_swapped_in(tmp_path: Path) -> None:
    live = two_versions(tmp_path)
    make_product(tmp_path, replays=WRONG).set_live("v3")
    error = live.update(tmp_path / "support")
    assert error is not None
    assert "other answers here" in error.what
    assert label(live) == "fee"


def test_one_whose_head_breaks_is_not_swapped_in(tmp_path: Path) -> None:
    live = two_versions(tmp_path)
    make_product(tmp_path, replays=[Replay({"text": "break"}, {"status": "ok"})]).set_live("v3")
    error = live.update(tmp_path / "support")
    assert error is not None
    assert "breaks on its own rows" in error.what
    assert "secret" not in str(error)
    assert label(live) == "fee"


def test_a_canary_that_cannot_serve_leaves_the_live_one(tmp_path: Path) -> None:
    live = two_versions(tmp_path)
    shelf = make_product(tmp_path, replays=WRONG)
    shelf.set_canary(0.5, "v3")
    assert live.update(tmp_path / "support") is None
    route = live.snapshot().routes["support"]
    assert (route.roles(), len(route.troubles)) == ({"live": "v1"}, 1)
    assert "other answers" in live.rollout("support")["troubles"][0]["what"]


def test_proven_in_the_background_or_refused(tmp_path: Path) -> None:
    make_product(tmp_path, "good")
    make_product(tmp_path, "bad", replays=WRONG)
    shelf = make_product(tmp_path, "half")
    make_product(tmp_path, "half", replays=WRONG)
    shelf.set_live("v1")
    shelf.set_shadow("v2")
    live = LiveCatalog(tmp_path)
    assert sorted(live.snapshot().products) == ["bad", "good", "half"]
    assert live.prove_some(0.0) is False
    assert live.prove_some(60.0)
    now = live.snapshot()
    assert sorted(now.products) == ["good", "half"]
    assert "other answers" in now.refused["bad"].what
    assert now.routes["half"].roles() == {"live": "v1"}
    listed = {p["name"]: p["status"] for p in json.loads(live.listing())["products"]}
    assert listed == {"good": "serving", "half": "serving", "bad": "refused"}


def test_unload_and_load(tmp_path: Path) -> None:
    live = two_versions(tmp_path)
    live.unload("support")
    assert live.snapshot().products == {}
    for call in (live.unload, live.rollout):
        with pytest.raises(UnknownProductError):
            call("support")
    assert live.load("support").bundle.version == "v1"
    with pytest.raises(UnknownProductError, match="no product is called 'suport'") as caught:
        live.load("suport")
    assert "'support'" in caught.value.hint


def test_a_version_can_be_had_whatever_serves(tmp_path: Path) -> None:
    live = two_versions(tmp_path)
    before = live.snapshot()
    assert live.version("support", "v1") is before.products["support"]
    assert label(live, live.version("support", "v2")) == "card"
    assert live.snapshot() is before
    with pytest.raises(BundleError, match="no version 'v7'"):
        live.version("support", "v7")
    with pytest.raises(UnknownProductError):
        live.version("suport", "v1")


def test_a_failed_gate_is_not_loaded_by_name(tmp_path: Path) -> None:
    live = two_versions(tmp_path)
    shelf = make_product(tmp_path, passed=False)
    with pytest.raises(UnavailableError, match="pass its gate"):
        live.load("support", "v3")
    shelf.set_live("v3", override=True, reason="a pilot")
    assert live.load("support", "v3").bundle.version == "v3"


def test_a_new_trunk_is_loaded_with_the_product_that_needs_it(tmp_path: Path) -> None:
    shelf = make_product(tmp_path, inputs={"n": "number"}, head=ToyTable("n", [1.0]), labels=("high", "low"))
    shelf.set_live("v1")
    live = LiveCatalog(tmp_path)
    assert dict(live.snapshot().engines) == {}
    make_product(tmp_path).set_live("v2")
    assert live.update(tmp_path / "support") is None
    assert list(live.snapshot().engines) == ["trunk:toy"]
    assert label(live) == "fee"


def test_listing_describes_each_bundle_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live, described = two_versions(tmp_path), list[str]()

    def counted(served: Served) -> dict[str, Any]:
        described.append(served.bundle.version)
        return describe_one(served)

    monkeypatch.setattr("trunkline.serve.live.describe_one", counted)
    assert live.listing() == live.listing()
    live.load("support", "v2")
    assert json.loads(live.listing())["products"][0]["version"] == "v2"
    assert described == ["v1", "v2"]
    assert "report" not in vars(live.snapshot().products["support"].bundle)  # it doesn't stay in memory


def test_a_lone_bundle_serves_and_is_followed(tmp_path: Path) -> None:
    import shutil

    make_bundle(tmp_path / "support", head=FEE)
    live = LiveCatalog(tmp_path)
    assert label(live) == "fee"
    route = live.snapshot().routes["support"]
    assert live.update(tmp_path / "support") is None
    assert live.snapshot().routes["support"] is route
    shutil.rmtree(tmp_path / "support")
    make_bundle(tmp_path / "support", "v2", head=CARD)
    assert live.update(tmp_path / "support") is None
    assert label(live) == "card"


def test_no_product_at_all(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no product here"):
        LiveCatalog(tmp_path)


# ---- under load, over a real socket ----


@contextmanager
def serving(live: LiveCatalog) -> Iterator[str]:
    """A server whose handler does what the real one does: one snapshot a request."""

    async def ask(request: Request) -> Response:
        now = live.snapshot()
        row = await request.json()
        served = now.routes["support"].choose(row.get("user"), "r")
        answers = await run_in_threadpool(predict, served, [row["row"]], now.ask())
        return JSONResponse({**identity(served), "answers": answers})

    class Has:
        def __init__(self, live: LiveCatalog) -> None:
            self.live = live

    app = Starlette(routes=[HttpRoute("/ask", ask, methods=["POST"]), *routes(Has(live))])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        until = time.monotonic() + 10
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


def test_a_thousand_swaps_under_load(tmp_path: Path) -> None:
    live = two_versions(tmp_path)
    digests = {v: live.load("support", v).bundle.manifest.digest.answers for v in ("v1", "v2")}
    wanted = {("v1", digests["v1"]): "fee", ("v2", digests["v2"]): "card"}
    done = threading.Event()
    found: list[tuple[str, str, str]] = []
    broken: list[str] = []

    def call(url: str) -> None:
        with httpx.Client(base_url=url, timeout=20) as client:
            while not done.is_set():
                reply = client.post("/ask", json={"row": ROW})
                if reply.status_code != 200:
                    broken.append(reply.text)
                    continue
                body = reply.json()
                found.append((body["version"], body["digest"], body["answers"][0]["label"]))

    with serving(live) as url:
        callers = [threading.Thread(target=call, args=(url,)) for _ in range(4)]
        for caller in callers:
            caller.start()
        try:
            for n in range(1_000):
                live.load("support", "v2" if n % 2 else "v1")
        finally:
            done.set()
            for caller in callers:
                caller.join(30)
        report = httpx.get(f"{url}/v1/products/support/rollout").json()
    assert broken == []
    assert len(found) > 100
    assert {version for version, _, _ in found} == {"v1", "v2"}
    assert all(wanted[version, digest] == said for version, digest, said in found)
    assert report["versions"][0]["version"] == "v2"
