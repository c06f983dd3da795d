from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serve.parts import make_bundle, make_product, register

from trunkline.bundle import Bundle, export_bundle, import_bundle
from trunkline.errors import BundleError, BusyError, GateFailed
from trunkline.files import folder_lock
from trunkline.shelf import Shelf


@pytest.fixture(autouse=True)
def _parts() -> Iterator[None]:
    with register():
        yield


def test_an_empty_shelf_touches_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    assert (shelf.versions(), shelf.latest(), shelf.live()) == ([], None, None)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BundleError, match="no bundle yet"):
        shelf.pin()
    with pytest.raises(BundleError, match="no bundle yet"):
        shelf.set_live()


def test_versions_count_up_and_nothing_goes_live(tmp_path: Path) -> None:
    for _ in range(11):
        shelf = make_product(tmp_path)
    assert shelf.versions() == [f"v{n}" for n in range(1, 12)]
    assert shelf.latest() == "v11"
    assert shelf.live() is None


def test_a_number_is_never_given_twice(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    make_product(tmp_path)

    def fails(folder: Path, version: str) -> Bundle:
        raise RuntimeError("training broke")

    with pytest.raises(RuntimeError):
        shelf.add(fails)
    shelf.prune(1)
    assert shelf.versions() == ["v2"]
    make_product(tmp_path)
    assert shelf.versions() == ["v2", "v4"]


def test_a_lost_record_reuses_no_number(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    (shelf.home / "shelf.json").unlink()
    assert shelf.reserve() == "v2"


def test_serving_pins_the_newest_that_passed_once(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    make_product(tmp_path)
    make_product(tmp_path, passed=False)
    bundle, chosen = shelf.pin()
    assert (bundle.version, chosen, shelf.live()) == ("v2", True, "v2")
    make_product(tmp_path)
    bundle, chosen = shelf.pin()
    assert (bundle.version, chosen) == ("v2", False)


def test_none_passed(tmp_path: Path) -> None:
    shelf = make_product(tmp_path, passed=False)
    with pytest.raises(GateFailed, match="passed its gate"):
        shelf.pin()
    assert shelf.live() is None


def test_a_failed_bundle_serves_only_on_record(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    make_product(tmp_path, passed=False)
    for arguments in ({}, {"override": True}, {"override": True, "reason": ""}, {"reason": "because"}):
        with pytest.raises(GateFailed, match="may not serve"):
            shelf.set_live("v2", **arguments)
    assert shelf.set_live("v2", override=True, reason="投资人演示").version == "v2"
    assert shelf.pin()[0].version == "v2"
    assert shelf.set_live("v1").version == "v1"
    first, second = shelf.record().deployments
    assert (first.version, first.passed, first.override, first.reason) == ("v2", False, True, "投资人演示")
    assert (second.version, second.override) == ("v1", False)
    assert first.who
    assert first.when.endswith("+00:00")


def test_a_pointer_set_by_hand_is_no_override(tmp_path: Path) -> None:
    shelf = make_product(tmp_path, passed=False)
    file = shelf.home / "shelf.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()) | {"live": "v1"}))
    with pytest.raises(GateFailed, match="may not serve"):
        shelf.pin()


def test_set_live_without_a_name_takes_the_newest(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    make_product(tmp_path)
    assert shelf.set_live().version == "v2"


def test_an_unknown_version_names_the_nearest(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    with pytest.raises(BundleError, match="no version 'v11'") as caught:
        shelf.set_live("v11")
    assert "'v1'" in caught.value.hint
    with pytest.raises(BundleError):
        shelf.open("../v1")


def test_a_damaged_bundle_never_goes_live(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    (shelf.folder("v1") / "card.md").write_text("other")
    with pytest.raises(BundleError, match="changed"):
        shelf.set_live("v1")
    assert shelf.live() is None


def test_prune_keeps_the_newest_and_the_live(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    shelf.set_live("v1")
    for _ in range(4):
        make_product(tmp_path)
    assert shelf.prune(2) == ["v2", "v3"]
    assert shelf.versions() == ["v1", "v4", "v5"]
    assert not list(shelf.home.glob(".removed*"))
    assert shelf.prune(2) == []


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 1, "next": "x"}', b"[]"])
def test_a_damaged_record(tmp_path: Path, content: bytes) -> None:
    shelf = make_product(tmp_path)
    (shelf.home / "shelf.json").write_bytes(content)
    with pytest.raises(BundleError, match="damaged"):
        shelf.live()


def test_a_newer_record(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    (shelf.home / "shelf.json").write_bytes(b'{"format": 2}')
    with pytest.raises(BundleError, match="newer"):
        shelf.live()


def test_two_at_once(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    with folder_lock(shelf.home, "changing what serves"), pytest.raises(BusyError):
        shelf.set_live("v1")


def test_an_import_lands_under_its_own_version(tmp_path: Path) -> None:
    file = export_bundle(make_bundle(tmp_path / "made", "v3"), tmp_path / "support.tlb", with_rows=True)
    shelf = Shelf(tmp_path / "products" / "support")
    taken = shelf.take(import_bundle(file, tmp_path / "one"))
    assert (taken.folder, taken.version) == (shelf.folder("v3"), "v3")
    assert (shelf.versions(), shelf.live(), shelf.reserve()) == (["v3"], None, "v4")
    again = import_bundle(file, tmp_path / "two")
    with pytest.raises(BundleError, match="there already"):
        shelf.take(again)
    assert again.folder.is_dir()


def test_an_import_needs_a_versions_name(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "made", "../v3")
    with pytest.raises(BundleError, match="no version's name"):
        Shelf(tmp_path / "support").take(made)
