from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner
from tests.serve.parts import ToyHead, make_bundle, make_product, register

from trunkline.cli import main
from trunkline.deploying import compare, deploy, rollback, share, status
from trunkline.errors import BundleError, GateFailed
from trunkline.metrics.traffic import Counts
from trunkline.shelf import Shelf
from trunkline.views import status_text


@pytest.fixture(autouse=True)
def _parts() -> Iterator[None]:
    with register():
        yield


@pytest.fixture
def product(tmp_path: Path) -> Path:
    for _ in range(3):
        make_product(tmp_path)
    return tmp_path / "support"


def test_roles_are_given_and_taken_back(product: Path) -> None:
    assert deploy(product, "v1")["role"] == "live"
    assert deploy(product, "v2")["status"]["live"] == "v2"
    done = deploy(product, canary=0.1)
    assert (done["version"], done["role"]) == ("v3", "canary")
    assert done["status"]["canary"] == {"version": "v3", "share": 0.1}
    assert deploy(product, "v1", shadow=True)["status"]["shadow"] == "v1"
    assert rollback(product)["live"] == "v2"
    undone = rollback(product, "too slow")
    assert (undone["live"], undone["status"]["previous"], undone["status"]["changes"][-1]["reason"]) == (
        "v1",
        None,
        "too slow",
    )
    orjson.dumps(undone)


def test_a_version_has_one_role(product: Path) -> None:
    deploy(product, "v1")
    with pytest.raises(BundleError, match="either canary or shadow"):
        deploy(product, "v2", canary=0.1, shadow=True)
    deploy(product, "v2", canary=0.1)
    now = deploy(product, "v2", shadow=True)["status"]
    assert (now["canary"], now["shadow"]) == (None, "v2")
    now = deploy(product, "v2", canary=0.2)["status"]
    assert (now["canary"], now["shadow"]) == ({"version": "v2", "share": 0.2}, None)


def test_a_failed_gate_wants_a_reason(tmp_path: Path, product: Path) -> None:
    make_product(tmp_path, passed=False)
    with pytest.raises(GateFailed):
        deploy(product, "v4")
    with pytest.raises(GateFailed):
        deploy(product, "v4", override="")
    assert deploy(product, "v4", override="a pilot")["status"]["changes"][-1]["reason"] == "a pilot"


def test_the_status_of_a_folder(tmp_path: Path, product: Path) -> None:
    for _ in range(7):
        deploy(product)
    make_bundle(tmp_path / "alone", "v9", name="alone")
    broken = make_product(tmp_path, "broken")
    (broken.home / "shelf.json").write_bytes(b"{")
    found = {one["product"]: one for one in status(tmp_path)["products"]}
    assert found["support"]["versions"] == ["v1", "v2", "v3"]
    assert (found["support"]["live"], len(found["support"]["changes"])) == ("v3", 5)
    assert found["alone"]["live"] == "v9"
    assert "damaged" in found["broken"]["error"]["what"]
    assert status(product)["products"][0]["live"] == "v3"
    for nowhere in (tmp_path / "none", tmp_path / "support" / "bundles"):
        with pytest.raises(BundleError):
            status(nowhere)


def test_two_versions_by_their_reports(tmp_path: Path) -> None:
    figure = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 60, "unit": "%"}
    report = {"primary": "accuracy", "metrics": {"accuracy": figure}}
    make_product(tmp_path, report=report)
    make_product(tmp_path, labels=("fee", "card", "新"), head=ToyHead("text", [1.0, 2.0, 1.0]))
    found = compare(tmp_path / "support", "v1", "v2")
    assert found["first"]["metrics"] == {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95, "n": 60}}
    assert (found["labels_added"], found["labels_removed"], found["same_answers"]) == (["新"], ["other"], False)
    orjson.dumps(found)


@pytest.mark.parametrize(("text", "value"), [("10%", 0.1), ("0.1", 0.1), (" 2.5% ", 0.025)])
def test_a_share_is_written_either_way(text: str, value: float) -> None:
    assert share(text) == pytest.approx(value)


def test_a_share_that_is_none() -> None:
    with pytest.raises(BundleError, match="can't be read"):
        share("some")


def test_the_status_shows_what_is_tried_and_its_traffic(product: Path) -> None:
    deploy(product, "v1")
    deploy(product, "v2", canary=0.1)
    deploy(product, "v3", shadow=True)
    kept = Shelf(product).kept
    counts = Counts()
    for _ in range(2_000):
        counts.request([{"status": "ok"}], 0.01)
    counts.failure()
    counts.comparison([True] * 99 + [False])
    kept.count(kept.read().era, {"v2": counts})
    found = status(product)
    assert found["products"][0]["traffic"]["v2"]["error_rate"]["n"] == 2_001
    orjson.dumps(found)
    table, canary = status_text(found).rsplit("\n", 1)
    assert "v2 (10%)" in table
    assert canary.startswith("support v2, canary: 2,001 requests, 0.05% errors [0.01%, 0.28%], 99.0% agree with live [")
    deploy(product, "v2")
    assert status(product)["products"][0]["traffic"] == {}


def test_the_commands_know_a_registry(product: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    runner = CliRunner()

    def told(*words: str) -> Any:
        done = runner.invoke(main, [*words, "--json"])
        assert done.exit_code == 0, done.output
        return orjson.loads(done.stdout)

    assert told("deploy", str(product), "v1", "--registry", url)["status"]["live"] == "v1"
    assert told("status", str(product))["products"][0]["live"] is None  # the folder's own record says nothing
    monkeypatch.setenv("TRUNKLINE_REGISTRY", url)
    assert told("deploy", str(product), "v2")["status"]["previous"] == "v1"
    assert told("status", str(product))["products"][0]["live"] == "v2"
    assert told("rollback", str(product), "--reason", "slow")["live"] == "v1"
    wrong = runner.invoke(main, ["status", str(product), "--registry", "mysql://u:secret@h/d", "--json"])
    assert (wrong.exit_code, orjson.loads(wrong.stdout)["error"]) == (2, "StoreError")
    assert "secret" not in wrong.output
