from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.serve.parts import ToyHead, make_bundle, make_product, register

from trunkline.bundle import Bundle, export_bundle, import_bundle
from trunkline.errors import BundleError, BusyError, GateFailed
from trunkline.files import folder_lock
from trunkline.record import Record
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
    (shelf.home / ".v6.4242.0a1b2c3d.tmp" / "own").mkdir(parents=True)  # of a training that was killed while it packed
    assert shelf.prune(2) == []
    assert not list(shelf.home.glob(".v*"))


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": 1, "next": "x"}', b"[]"])
def test_a_damaged_record(tmp_path: Path, content: bytes) -> None:
    shelf = make_product(tmp_path)
    (shelf.home / "shelf.json").write_bytes(content)
    with pytest.raises(BundleError, match="damaged") as caught:
        shelf.check()
    assert "remove it" in caught.value.hint
    (shelf.home / "shelf.json").unlink()  # the hint's remedy
    shelf.check()
    assert shelf.set_live("v1").version == "v1"
    assert shelf.reserve() == "v2"


def test_a_file_in_the_bundles_place(tmp_path: Path) -> None:
    (tmp_path / "bundles").write_text("x")
    with pytest.raises(BundleError, match="in the bundles' place"):
        Shelf(tmp_path).check()


@pytest.mark.parametrize("damage", ["flip", "gone"])
def test_a_damaged_bundle_that_serves_is_found_before_training(tmp_path: Path, damage: str) -> None:
    shelf = make_product(tmp_path)
    make_product(tmp_path)
    shelf.set_live("v1")
    shelf.check()
    if damage == "flip":
        (shelf.folder("v1") / "card.md").write_text("other")
    else:
        shelf.folder("v1").rename(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="v1 serves, but") as caught:
        shelf.check()
    assert f"trunkline deploy {shelf.product}" in caught.value.hint
    shelf.set_live("v2")  # the hint's remedy
    shelf.check()


def test_a_newer_record(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    (shelf.home / "shelf.json").write_bytes(b'{"format": 4, "more": 1}')
    with pytest.raises(BundleError, match="newer"):
        shelf.live()


def test_a_record_of_format_1_knows_what_was_live_before(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    make_product(tmp_path)
    past = [{"when": "2024-01-01", "who": "me", "version": v, "passed": True} for v in ("v1", "v2", "v2")]
    old = {"format": 1, "next": 3, "live": "v2", "deployments": past}
    (shelf.home / "shelf.json").write_text(json.dumps(old))
    record = shelf.record()
    assert (record.format, record.live, record.previous, record.canary, record.shadow) == (3, "v2", "v1", None, None)
    assert shelf.rollback().version == "v1"
    assert json.loads((shelf.home / "shelf.json").read_bytes())["format"] == 3


def test_a_record_of_format_2_is_taken_over_as_it_is(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    shelf.set_live()
    known = json.loads((shelf.home / "shelf.json").read_bytes())
    (shelf.home / "shelf.json").write_text(json.dumps({**known, "format": 2}))
    assert shelf.record() == msgspec.convert(known, Record)
    assert not shelf.record().silent


def test_explanations_are_switched_on_record_and_no_version_moves(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    make_product(tmp_path)
    with pytest.raises(BundleError, match="no bundle"):
        Shelf(tmp_path / "none").set_explained(False)
    shelf.set_live("v1")
    shelf.set_canary(0.1, "v2")
    before = shelf.record()
    shelf.set_explained(False, "a customer asked for it")
    after = shelf.record()
    assert after.silent
    assert (after.live, after.canary, after.shadow, after.previous) == (before.live, before.canary, before.shadow, before.previous)
    assert (after.digest("v1"), after.digest("v2")) == (before.digest("v1"), before.digest("v2"))
    assert after.era != before.era
    shelf.set_live("v2")  # nothing that is deployed undoes it
    shelf.rollback()
    assert shelf.record().silent
    shelf.set_explained(True)
    assert not shelf.record().silent
    assert [one.how for one in shelf.record().deployments if one.switches] == ["silence", "explain"]


def test_rollback_returns_to_what_was_live_before_and_no_further(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    make_product(tmp_path)
    shelf.set_live("v1")
    with pytest.raises(BundleError, match="nothing to roll back to"):
        shelf.rollback()
    shelf.set_live("v2")
    shelf.set_live("v2")  # the same again forgets nothing
    assert shelf.rollback("it was slow").version == "v1"
    assert (shelf.live(), shelf.record().previous) == ("v1", None)
    entry = shelf.record().deployments[-1]
    assert (entry.how, entry.role, entry.version, entry.reason) == ("rollback", "live", "v1", "it was slow")
    with pytest.raises(BundleError, match="nothing to roll back to"):  # never back to the bad one by accident
        shelf.rollback()


def test_another_bundle_under_a_deployed_version_may_not_serve(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    shelf.set_live("v1")
    shutil.rmtree(shelf.folder("v1"))
    with pytest.raises(BundleError, match="no version 'v1' here") as lacking:
        shelf.pin()
    make_bundle(shelf.folder("v1"), head=ToyHead("text", [2.0, 1.0, 1.0]))
    with pytest.raises(BundleError, match="not the bundle that was deployed") as other:
        shelf.pin()
    wanted = shelf.record().digest("v1")
    assert wanted[:12] in lacking.value.wanted
    assert other.value.wanted == f"digest {wanted[:12]}"
    shelf.set_live("v1")  # this one is meant
    assert shelf.pin()[0].manifest.digest.answers == shelf.record().digest("v1") != wanted


def test_the_name_is_the_bundle_s_not_the_folder_s(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "folder")
    assert shelf.name == "folder"
    shelf.add(lambda at, version: make_bundle(at, version, name="support"))
    assert shelf.name == "support"
    (shelf.folder("v1") / "manifest.json").write_bytes(b"{")
    assert shelf.name == "folder"


def test_a_canary_has_a_share_and_a_rollback_ends_it_first(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    for _ in range(2):
        make_product(tmp_path)
    with pytest.raises(BundleError, match="no other live version"):
        shelf.set_canary(0.1, "v2")
    shelf.set_live("v1")
    shelf.set_live("v2")
    for share in (0, 1, -0.1, 1.5):
        with pytest.raises(BundleError, match="between 0 and 100"):
            shelf.set_canary(share, "v3")
    with pytest.raises(BundleError, match="no other live version"):
        shelf.set_canary(0.1, "v2")
    shelf.set_canary(0.1, "v3")
    shelf.set_shadow("v1")
    record = shelf.record()
    assert (record.live, record.previous, record.shadow) == ("v2", "v1", "v1")
    assert record.canary is not None
    assert (record.canary.version, record.canary.share) == ("v3", 0.1)
    assert [(e.version, e.role, e.share) for e in record.deployments[-2:]] == [
        ("v3", "canary", 0.1),
        ("v1", "shadow", None),
    ]
    assert shelf.prune(1) == []  # all have a role
    assert (shelf.rollback().version, shelf.record().canary, shelf.live()) == ("v2", None, "v2")
    assert (shelf.end_shadow("seen enough").version, shelf.record().shadow) == ("v2", None)
    with pytest.raises(BundleError, match="no shadow"):
        shelf.end_shadow()
    assert shelf.rollback().version == "v1"


def test_the_server_s_own_changes_hold_only_for_the_canary_that_was_measured(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    for _ in range(2):
        make_product(tmp_path)
    shelf.set_live("v1")
    shelf.set_canary(0.5, "v2")
    assert not shelf.promote("v3", "all rules held", {})
    assert not shelf.withdraw("v3", "a rule held", {})
    assert shelf.withdraw("v2", "error_rate.low > 0.01", {"error_rate.low": 0.2})
    assert not shelf.withdraw("v2", "again", {})
    entry = shelf.record().deployments[-1]
    assert (entry.how, entry.role, entry.figures) == ("rollback", "canary", {"error_rate.low": 0.2})
    shelf.set_canary(0.5, "v3")
    assert shelf.promote("v3", "all rules held", {"requests": 1000})
    assert (shelf.live(), shelf.record().previous, shelf.record().canary) == ("v3", "v1", None)


def test_a_failed_bundle_takes_no_role_without_a_reason(tmp_path: Path) -> None:
    shelf = make_product(tmp_path)
    shelf.set_live("v1")
    make_product(tmp_path, passed=False)
    with pytest.raises(GateFailed):
        shelf.set_canary(0.1, "v2")
    with pytest.raises(GateFailed):
        shelf.set_shadow("v2")
    shelf.set_canary(0.1, "v2", override=True, reason="a pilot")
    assert shelf.served("v2", shelf.record()).version == "v2"
    assert shelf.promote("v2", "all rules held", {})  # the override holds
    assert shelf.pin()[0].version == "v2"


@pytest.mark.parametrize("other", [{"inputs": {"text": "text", "more": "text"}}, {"task": "classify"}])
def test_a_canary_must_read_the_live_one_s_rows(tmp_path: Path, other: dict[str, Any]) -> None:
    shelf = make_product(tmp_path)
    shelf.set_live("v1")
    make_product(tmp_path, **({"inputs": other["inputs"]} if "inputs" in other else {"spec": other}))
    with pytest.raises(BundleError, match="can't answer the rows of v1"):
        shelf.set_canary(0.1, "v2")


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
