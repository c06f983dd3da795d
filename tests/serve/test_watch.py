from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.serve.parts import make_product

from trunkline.files import folder_lock
from trunkline.serve import watch
from trunkline.serve.live import LiveCatalog
from trunkline.serve.rollout import Route
from trunkline.serve.watch import Watcher
from trunkline.shelf import Shelf

OK = {"status": "ok", "label": "fee"}


@pytest.fixture(autouse=True)
def _logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("trunkline.serve"), "propagate", True)


@pytest.fixture
def live(tmp_path: Path) -> LiveCatalog:
    shelf = make_product(tmp_path)
    rules = {"promote": ["requests >= 30", "error_rate.high <= 0.2"], "min_requests": 20}
    make_product(tmp_path, spec={"rollout": rules})
    shelf.set_live("v1")
    return LiveCatalog(tmp_path)


def version(live: LiveCatalog) -> str:
    return live.snapshot().products["support"].bundle.version


def canary(live: LiveCatalog, watcher: Watcher, tmp_path: Path) -> Route:
    shelf_of(tmp_path).set_canary(0.5, "v2")
    watcher.look()
    route = live.snapshot().routes["support"]
    assert route.canary is not None
    return route


def shelf_of(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "support")


def test_a_deployment_is_followed(live: LiveCatalog, tmp_path: Path) -> None:
    watcher = Watcher(live)
    watcher.look()
    shelf_of(tmp_path).set_live("v2")
    watcher.look()
    assert version(live) == "v2"
    shelf_of(tmp_path).rollback()
    watcher.look()
    assert version(live) == "v1"


def test_what_was_not_touched_is_left_alone(live: LiveCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher, updated = Watcher(live), list[Path]()
    monkeypatch.setattr(live, "update", updated.append)
    for _ in range(3):
        watcher.look()
    assert len(updated) == 1  # the first look makes up for what changed while the catalog was opened


def test_new_products_come_and_gone_ones_go(live: LiveCatalog, tmp_path: Path) -> None:
    watcher = Watcher(live)
    watcher.look()
    shelf = make_product(tmp_path, "second")
    watcher.look(find=True)
    assert "second" not in live.snapshot().products  # nobody deployed it
    shelf.set_live("v1")
    watcher.look(find=True)
    assert sorted(live.snapshot().products) == ["second", "support"]
    shutil.rmtree(tmp_path / "second")
    watcher.look(find=True)
    assert (sorted(live.snapshot().products), dict(live.snapshot().refused)) == (["support"], {})


def test_a_refused_product_serves_once_it_is_deployed(tmp_path: Path) -> None:
    make_product(tmp_path, "good")
    shelf = make_product(tmp_path, "weak", passed=False)
    live = LiveCatalog(tmp_path)
    watcher = Watcher(live)
    watcher.look()
    assert "gate" in live.snapshot().refused["weak"].what
    shelf.set_live("v1", override=True, reason="a pilot")
    watcher.look()
    assert (sorted(live.snapshot().products), dict(live.snapshot().refused)) == (["good", "weak"], {})


def test_a_damaged_record_leaves_what_serves(live: LiveCatalog, tmp_path: Path) -> None:
    watcher = Watcher(live)
    watcher.look()
    file = tmp_path / "support" / "bundles" / "shelf.json"
    kept = file.read_bytes()
    file.write_bytes(b"{")
    watcher.look()
    assert version(live) == "v1"
    assert "damaged" in live.snapshot().troubles["support"].what
    file.write_bytes(kept)
    watcher.look()
    assert live.snapshot().troubles == {}


def test_a_canary_that_errs_is_withdrawn_on_record(live: LiveCatalog, tmp_path: Path) -> None:
    watcher = Watcher(live)
    route = canary(live, watcher, tmp_path)
    assert route.canary is not None
    for _ in range(20):
        route.of(route.canary).failure()
    watcher.look()
    assert live.snapshot().routes["support"].roles() == {"live": "v1"}
    entry = shelf_of(tmp_path).record().deployments[-1]
    assert (entry.how, entry.role, entry.version) == ("rollback", "canary", "v2")
    assert entry.reason == "error_rate.low > 0.01"
    assert (entry.figures["errors"], entry.figures["error_rate"]) == (20, 1.0)


def test_a_good_canary_is_promoted_on_record(live: LiveCatalog, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watcher = Watcher(live)
    route = canary(live, watcher, tmp_path)
    assert route.canary is not None
    for _ in range(29):
        route.of(route.canary).request([OK], 0.002)
    watcher.look()
    assert version(live) == "v1"
    route.of(route.canary).request([OK], 0.002)
    with folder_lock(tmp_path / "support" / "bundles", "changing what serves"):
        watcher.look()  # somebody deploys: judged again at the next look
    assert version(live) == "v1"
    watcher.look()
    assert live.snapshot().routes["support"].roles() == {"live": "v2"}
    assert "canary: promote" in caplog.text
    entry = shelf_of(tmp_path).record().deployments[-1]
    assert (entry.how, entry.version, entry.figures["requests"]) == ("promote", "v2", 30)
    assert shelf_of(tmp_path).record().previous == "v1"


def test_figures_that_cant_be_written_are_judged_where_they_were_counted(
    live: LiveCatalog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "support" / ".trunkline").write_text("in the way")
    watcher = Watcher(live)
    route = canary(live, watcher, tmp_path)
    assert route.canary is not None
    for _ in range(20):
        route.of(route.canary).failure()
    assert live.rollout("support")["versions"][1]["errors"] == 20
    for _ in range(3):
        watcher.look()
    assert live.snapshot().routes["support"].roles() == {"live": "v1"}
    assert caplog.text.count("watching broke") == 1


def test_figures_that_cant_be_written_are_told_once_and_not_at_each_turn(
    live: LiveCatalog, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_COUNT_EVERY", 2)
    (tmp_path / "support" / ".trunkline").write_text("in the way")
    watcher, route = Watcher(live), live.snapshot().routes["support"]
    route.of(route.live).failure()
    for _ in range(6):  # at every second one nothing is due
        watcher.look()
    assert caplog.text.count("watching broke") == 1


def test_what_was_counted_is_handed_over_when_the_watching_ends(live: LiveCatalog, tmp_path: Path) -> None:
    with Watcher(live, every=60):
        route = live.snapshot().routes["support"]
        for _ in range(3):
            route.of(route.live).request([OK], 0.002)
    kept = shelf_of(tmp_path).kept
    sums = kept.count(kept.read().era, {})
    assert sums is not None
    assert sums["v1"].requests == 3


def wait(ready: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not ready() and time.monotonic() < until:
        time.sleep(0.02)
    assert ready()


def test_the_thread_follows_and_survives(
    live: LiveCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Watcher(live, every=0.02) as watcher:
        shelf_of(tmp_path).set_live("v2")
        wait(lambda: version(live) == "v2")
        with monkeypatch.context() as broken:
            broken.setattr(watcher, "look", lambda: 1 / 0)
            wait(lambda: "watching broke" in caplog.text)
        shelf_of(tmp_path).rollback()
        wait(lambda: version(live) == "v1")
    assert caplog.text.count("watching broke") == 1
