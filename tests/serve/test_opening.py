from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.serve.parts import CARD, ToyEngine, ToyHead, ToyTrunk, make_bundle, make_product

from trunkline.errors import BundleError, TrunkError
from trunkline.serve.opening import find_products, open_catalog
from trunkline.types import Refused


def test_products_are_found_two_folders_deep(tmp_path: Path) -> None:
    make_product(tmp_path, "one")
    make_product(tmp_path / "group", "two")
    make_product(tmp_path / "a" / "b", "too_deep")
    make_product(tmp_path / ".hidden", "three")
    make_bundle(tmp_path / "loose", name="four")
    assert sorted(p.name for p in find_products(tmp_path)) == ["loose", "one", "two"]
    catalog = open_catalog(tmp_path)
    assert (sorted(catalog.products), dict(catalog.refused)) == (["four", "one", "two"], {})


def test_a_product_s_own_folder_serves_too(tmp_path: Path) -> None:
    make_product(tmp_path, "one")
    assert list(open_catalog(tmp_path / "one").products) == ["one"]


def test_the_live_version_serves(tmp_path: Path) -> None:
    shelf = make_product(tmp_path, "one")
    make_product(tmp_path, "one")
    shelf.set_live("v1")
    assert open_catalog(tmp_path).products["one"].bundle.version == "v1"


def test_first_serve_pins_the_newest_that_passed(tmp_path: Path) -> None:
    shelf = make_product(tmp_path, "one")
    assert shelf.live() is None
    open_catalog(tmp_path)
    assert shelf.live() == "v1"
    make_product(tmp_path, "one")
    assert open_catalog(tmp_path).products["one"].bundle.version == "v1"


def test_a_trunk_is_loaded_once_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []

    def load(self: ToyTrunk) -> ToyEngine:
        loads.append(1)
        return ToyEngine()

    monkeypatch.setattr(ToyTrunk, "load", load)
    for name in ("one", "two", "three"):
        make_product(tmp_path, name)
    catalog = open_catalog(tmp_path)
    assert (len(loads), list(catalog.engines)) == (1, ["trunk:toy"])


def test_one_that_cant_serve_leaves_the_others(tmp_path: Path) -> None:
    make_product(tmp_path, "good")
    flipped = make_product(tmp_path, "flipped")
    file = flipped.folder("v1") / "head.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    make_product(tmp_path, "failed", passed=False)
    make_product(tmp_path, "foreign", trunks=[replace(CARD, fingerprint="0" * 64)])
    make_product(tmp_path, "unknown", trunks=[replace(CARD, id="no-such-trunk")])
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "product.toml").write_text("")
    catalog = open_catalog(tmp_path)
    assert list(catalog.products) == ["good"]
    why = {name: error.what for name, error in catalog.refused.items()}
    assert "changed" in why["flipped"]
    assert "gate" in why["failed"]
    assert "another 'toy'" in why["foreign"]
    assert "no-such-trunk" in why["unknown"]
    assert "no bundle yet" in why["empty"]


def test_a_trunk_s_folder_that_was_moved_is_asked_for_not_pulled(tmp_path: Path) -> None:
    make_product(tmp_path, "one", trunks=[replace(CARD, id=f"folder:{tmp_path / 'bert'}")])
    error = open_catalog(tmp_path).refused["one"]
    assert (error.found, error.hint) == (f"the trunk's folder is not there: {tmp_path / 'bert'}", "bring the folder back to its place")


def test_trunks_that_are_away_or_break(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_product(tmp_path, "one")
    monkeypatch.setattr(ToyTrunk, "available", lambda self: Refused("missing", "weights are not here"))
    assert open_catalog(tmp_path).refused["one"].found == "weights are not here"

    def broken(self: ToyTrunk) -> ToyEngine:
        raise TrunkError("weights were altered")

    monkeypatch.undo()
    monkeypatch.setattr(ToyTrunk, "load", broken)
    catalog = open_catalog(tmp_path)
    assert (list(catalog.products), catalog.refused["one"].what) == ([], "weights were altered")


def test_a_head_of_an_unknown_format_is_that_product_s_error(tmp_path: Path) -> None:
    class Strange(ToyHead):
        format = "strange"

    make_product(tmp_path, "good")
    make_product(tmp_path, "odd", head=Strange("text", [1.0]))
    assert "strange" in open_catalog(tmp_path).refused["odd"].what


def test_two_products_of_one_name(tmp_path: Path) -> None:
    first = make_product(tmp_path / "a", "one")
    second = make_product(tmp_path / "b", "one")
    catalog = open_catalog(tmp_path)
    assert list(catalog.products) == ["one"]
    assert "two folders" in catalog.refused["one"].what
    assert (first.live(), second.live()) == ("v1", None)  # what is refused isn't written down as live


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cant_be_read(tmp_path: Path) -> None:
    shelf = make_product(tmp_path, "one")
    shelf.home.chmod(0)
    try:
        assert "can't be read" in open_catalog(tmp_path).refused["one"].what
    finally:
        shelf.home.chmod(0o755)


def test_nothing_to_serve(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no product here"):
        open_catalog(tmp_path)
    with pytest.raises(BundleError, match="no such folder"):
        open_catalog(tmp_path / "nowhere")
