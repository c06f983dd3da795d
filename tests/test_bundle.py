from __future__ import annotations

import json
import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.proof.fakes import hotels
from tests.serve.parts import CARD, ToyHead, make_bundle, register

from trunkline.bundle import Bundle, archive, export_bundle, freeze, import_bundle, manifest
from trunkline.bundle.manifest import MANIFEST, REQUIRED
from trunkline.bundle.replay import Replay
from trunkline.errors import BundleError, TrunklineError
from trunkline.proof import prove, render_html
from trunkline.types import Decision


@pytest.fixture(autouse=True)
def _parts() -> Iterator[None]:
    with register():
        yield


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "v1")


def test_what_was_frozen_is_read_back(tmp_path: Path) -> None:
    head = ToyHead("text", [0.5, 1.0, 2.0])
    made = make_bundle(
        tmp_path / "v1", head=head, labels=("费用", "card", "<b>"), extra_files={"own/net.bin": b"x"}
    )
    found = Bundle.open(tmp_path / "v1")
    assert (found.name, found.version, found.labels) == ("support", "v1", ("费用", "card", "<b>"))
    assert found.decision == Decision(abstain_below=0.1)
    assert found.spec == made.spec
    assert found.manifest == made.manifest
    assert found.manifest.trunks == (CARD,)
    loaded = found.head()
    assert isinstance(loaded, ToyHead)
    assert np.array_equal(loaded.weights, head.weights)
    assert found.head() is loaded
    assert found.report["worst"] == [{"text": "my own row"}]
    assert found.data["rows"] == {"train": 10}
    assert found.read("own/net.bin") == b"x"
    assert {*REQUIRED, "own/net.bin"} == set(found.manifest.files)
    assert found.size_bytes == sum(f.stat().st_size for f in (tmp_path / "v1").rglob("*") if f.is_file())


def test_equal_bundles_answer_equally_whatever_their_report(tmp_path: Path) -> None:
    one = make_bundle(tmp_path / "v1")
    two = make_bundle(tmp_path / "v2", "v2", passed=False)
    other = make_bundle(tmp_path / "v3", "v3", head=ToyHead("text", [1.0, 1.0, 1.5]))
    assert one.manifest.digest.answers == two.manifest.digest.answers
    assert one.manifest.digest.files != two.manifest.digest.files
    assert other.manifest.digest.answers != one.manifest.digest.answers


def test_another_trunk_is_another_answer(tmp_path: Path) -> None:
    one = make_bundle(tmp_path / "v1")
    two = make_bundle(tmp_path / "v2", trunks=[replace(CARD, fingerprint="0" * 64)])
    assert one.manifest.digest.answers != two.manifest.digest.answers


@pytest.mark.parametrize("name", [MANIFEST, *REQUIRED])
@pytest.mark.parametrize("where", [0.0, 0.5, 0.99])
def test_a_flipped_byte_is_found(bundle: Bundle, name: str, where: float) -> None:
    file = bundle.folder / name
    content = bytearray(file.read_bytes())
    content[int(where * len(content))] ^= 0x01
    file.write_bytes(content)
    with pytest.raises(BundleError):
        Bundle.open(bundle.folder)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_is_found(bundle: Bundle, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([MANIFEST, *REQUIRED]))
    file = bundle.folder / name
    kept = file.read_bytes()
    at, bit = data.draw(st.integers(0, len(kept) - 1)), data.draw(st.integers(0, 7))
    file.write_bytes(kept[:at] + bytes([kept[at] ^ (1 << bit)]) + kept[at + 1 :])
    try:
        with pytest.raises(BundleError):
            Bundle.open(bundle.folder)
    finally:
        file.write_bytes(kept)


def test_without_verify_what_is_used_is_still_checked(bundle: Bundle) -> None:
    (bundle.folder / "head.safetensors").write_bytes(b"other")
    opened = Bundle.open(bundle.folder, verify=False)
    with pytest.raises(BundleError, match="changed"):
        opened.head()


def test_a_file_that_is_gone_when_it_is_read_is_named(bundle: Bundle) -> None:
    (bundle.folder / "report.html").unlink()
    with pytest.raises(BundleError, match="can't be read") as caught:
        bundle.read("report.html")
    assert caught.value.where.endswith("report.html")


def _missing(folder: Path) -> None:
    (folder / "card.md").unlink()


def _extra(folder: Path) -> None:
    (folder / "more.txt").write_text("x")


def _extra_folder(folder: Path) -> None:
    (folder / "own").mkdir()
    (folder / "own" / "x.txt").write_text("x")


def _link(folder: Path) -> None:
    (folder / "card.md").rename(folder.parent / "card.md")
    (folder / "card.md").symlink_to(folder.parent / "card.md")


def _linked_folder(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir()
    (folder / "own").symlink_to(folder.parent / "elsewhere", target_is_directory=True)


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def _hidden(folder: Path) -> None:
    (folder / ".DS_Store").write_text("x")


def _no_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def _not_json(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(b"\x00\xff")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_missing, "missing"),
        (_extra, "doesn't name"),
        (_extra_folder, "doesn't name"),
        (_link, "plain files"),
        (_linked_folder, "plain files"),
        (_pipe, "plain files"),
        (_hidden, "isn't plain"),
        (_no_manifest, "no bundle here"),
        (_not_json, "damaged"),
    ],
)
def test_damage_is_one_clear_error(bundle: Bundle, damage: Callable[[Path], None], says: str) -> None:
    damage(bundle.folder)
    with pytest.raises(BundleError, match=says):
        Bundle.open(bundle.folder)


def _rewrite(folder: Path, **changes: Any) -> None:
    """The manifest changed and sealed again: what a forger would do."""
    raw = json.loads((folder / MANIFEST).read_bytes()) | changes
    found = msgspec.convert(raw, manifest.Manifest)
    (folder / MANIFEST).write_bytes(manifest.encode(manifest.sealed(found)))


def test_a_newer_format_says_what_to_install(bundle: Bundle) -> None:
    raw = json.loads((bundle.folder / MANIFEST).read_bytes()) | {
        "format": manifest.FORMAT + 1,
        "trunkline": "9.1.0",
        "more": {},
    }
    (bundle.folder / MANIFEST).write_text(json.dumps(raw))
    with pytest.raises(BundleError, match="newer") as caught:
        Bundle.open(bundle.folder)
    assert "trunkline>=9.1.0" in caught.value.hint


@pytest.mark.parametrize("number", [0, -1, "1", None, True, 1.5])
def test_a_format_that_is_none(bundle: Bundle, number: Any) -> None:
    raw = json.loads((bundle.folder / MANIFEST).read_bytes()) | {"format": number}
    (bundle.folder / MANIFEST).write_text(json.dumps(raw))
    with pytest.raises(BundleError, match="names no format"):
        Bundle.open(bundle.folder)


def test_an_older_format_is_migrated_in_memory(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A next format is faked: its card has another content, and its manifest another number."""

    present = manifest.FORMAT

    def to_next(files: Mapping[str, bytes]) -> dict[str, bytes]:
        moved = {name: content for name, content in files.items() if name != MANIFEST}
        moved["card.md"] = b"# moved"
        old = msgspec.json.decode(files[MANIFEST], type=manifest.Manifest)
        digests = {name: manifest.sha256(content) for name, content in moved.items()}
        new = msgspec.structs.replace(old, format=present + 1, files=digests)
        moved[MANIFEST] = manifest.encode(manifest.sealed(new))
        return moved

    monkeypatch.setattr(manifest, "FORMAT", present + 1)
    with pytest.raises(BundleError, match=f"format {present} can't be read"):
        Bundle.open(bundle.folder)
    monkeypatch.setitem(manifest.MIGRATIONS, present, to_next)
    before = (bundle.folder / "card.md").read_bytes()
    moved = Bundle.open(bundle.folder)
    assert (moved.manifest.format, moved.read("card.md")) == (present + 1, b"# moved")
    assert set(moved.migrated) == {MANIFEST, "card.md"}
    assert isinstance(moved.head(), ToyHead)
    assert (bundle.folder / "card.md").read_bytes() == before


@pytest.mark.parametrize("name", ["../card.md", "/etc/passwd", "own/../../x", "a\\b", "", "a\0b", "own//x"])
def test_a_path_that_leaves_the_folder(bundle: Bundle, name: str, tmp_path: Path) -> None:
    _rewrite(bundle.folder, files={**bundle.manifest.files, name: "0" * 64})
    with pytest.raises(BundleError):
        Bundle.open(bundle.folder)
    with pytest.raises(BundleError, match="leaves the bundle"):
        make_bundle(tmp_path / "v2", extra_files={name: b"x"})
    assert not (tmp_path / "v2").exists()


def test_a_spec_that_leaves_the_folder(bundle: Bundle) -> None:
    spec = json.loads((bundle.folder / "product.json").read_bytes())
    spec["data"]["train"] = "../../secrets.csv"
    content = json.dumps(spec).encode()
    (bundle.folder / "product.json").write_bytes(content)
    _rewrite(bundle.folder, files={**bundle.manifest.files, "product.json": manifest.sha256(content)})
    with pytest.raises(BundleError, match="leaves the product's folder"):
        Bundle.open(bundle.folder)


def test_a_forged_answers_digest(bundle: Bundle) -> None:
    _rewrite(bundle.folder, digest={"answers": "0" * 64, "files": ""})
    with pytest.raises(BundleError, match="answers"):
        Bundle.open(bundle.folder)


def test_another_products_manifest(bundle: Bundle) -> None:
    _rewrite(bundle.folder, product="other")
    with pytest.raises(BundleError, match="different products"):
        Bundle.open(bundle.folder)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"\xff\xff\xff\xff\xff\xff\xff\x7f{}"])
def test_a_head_that_cant_be_loaded(bundle: Bundle, content: bytes) -> None:
    (bundle.folder / "head.safetensors").write_bytes(content)
    _rewrite(bundle.folder, files={**bundle.manifest.files, "head.safetensors": manifest.sha256(content)})
    with pytest.raises(BundleError, match="head can't be loaded"):
        Bundle.open(bundle.folder, verify=False).head()


def test_a_bundle_of_format_1_opens_and_damage_in_it_is_found(bundle: Bundle) -> None:
    _rewrite(bundle.folder, format=1)
    found = Bundle.open(bundle.folder)
    assert (found.manifest.format, found.manifest.digest.answers) == (2, bundle.manifest.digest.answers)
    assert found.replays() == []
    assert isinstance(found.head(), ToyHead)
    (bundle.folder / "card.md").write_text("other")
    with pytest.raises(BundleError, match="changed"):
        Bundle.open(bundle.folder)
    raw = json.loads((bundle.folder / MANIFEST).read_bytes()) | {"method": "forged"}
    (bundle.folder / MANIFEST).write_text(json.dumps(raw))
    with pytest.raises(BundleError, match="changed"):
        Bundle.open(bundle.folder)


def test_replays_decide_no_answer_and_leave_no_row_in_an_export(tmp_path: Path) -> None:
    own = Replay({"text": "my own row"}, {"status": "ok", "label": "fee"})
    example = Replay({"text": "My card still hasn't arrived."}, {"status": "ok", "label": "card"}, example=True)
    report = json.loads(json.dumps(prove(hotels()).as_dict()))
    made = make_bundle(tmp_path / "v1", replays=[own, example], report=report)
    assert made.replays() == [own, example]
    assert made.manifest.digest.answers == make_bundle(tmp_path / "v2").manifest.digest.answers
    for with_rows, kept in ((False, [example]), (True, [own, example])):
        file = export_bundle(made, tmp_path / f"{with_rows}.tlb", with_rows=with_rows)
        there = import_bundle(file, tmp_path / f"there-{with_rows}")
        assert there.replays() == kept
        assert there.manifest.digest.answers == made.manifest.digest.answers
        assert (b"my own row" in (there.folder / "replay.json").read_bytes()) == with_rows
    with pytest.raises(BundleError, match="share a name"):
        make_bundle(tmp_path / "v3", extra_files={"replay.json": b"[]"})


def test_a_head_of_an_unknown_format_names_the_known(tmp_path: Path) -> None:
    class Strange(ToyHead):
        format = "toy-leters"

    made = make_bundle(tmp_path / "v1", head=Strange("text", [1.0]))
    with pytest.raises(TrunklineError, match="toy-letters"):
        made.head()


@pytest.mark.parametrize("meta", [{"x": float("nan")}, {"x": float("inf")}, {"x": b"bytes"}])
def test_a_head_whose_meta_json_would_change(tmp_path: Path, meta: dict[str, Any]) -> None:
    class Odd(ToyHead):
        def save(self) -> Any:
            return meta, {}

    with pytest.raises(BundleError, match="can't be written"):
        make_bundle(tmp_path / "v1", head=Odd("text", [1.0]))
    assert list(tmp_path.iterdir()) == []


def test_a_decision_of_numpy_numbers(tmp_path: Path, bundle: Bundle) -> None:
    decision = Decision(np.float64(1.5), np.float32(0.25), None, (np.float32(0.5),))  # type: ignore[arg-type]
    made = freeze(
        tmp_path / "v2",
        spec=bundle.spec,
        version="v2",
        method="linear",
        head=bundle.head(),
        decision=decision,
        labels=bundle.labels,
        trunks=(),
        report={},
        html="",
        card="",
        data={},
        verdict_passed=True,
    )
    assert made.decision == Decision(1.5, 0.25, None, (0.5,))


def test_a_taken_place_is_left_alone(bundle: Bundle) -> None:
    before = bundle.manifest
    with pytest.raises(BundleError, match="already"):
        make_bundle(bundle.folder, "v9")
    assert Bundle.open(bundle.folder).manifest == before


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(TrunklineError, match="No space left"):
        make_bundle(tmp_path / "v1")
    assert list(tmp_path.iterdir()) == []


# ---- one file to move it in ----------------------------------------------------------------------


def test_there_and_back(bundle: Bundle, tmp_path: Path) -> None:
    file = export_bundle(bundle, tmp_path / "support.tlb", with_rows=True)
    found = import_bundle(file, tmp_path / "there")
    assert found.manifest == bundle.manifest
    assert {n: found.read(n) for n in found.manifest.files} == {
        n: bundle.read(n) for n in bundle.manifest.files
    }


def test_equal_bundles_give_equal_archives(bundle: Bundle, tmp_path: Path) -> None:
    one = export_bundle(bundle, tmp_path / "1.tlb", with_rows=True)
    os.utime(bundle.folder / "card.md", (1, 1))
    two = export_bundle(bundle, tmp_path / "2.tlb", with_rows=True)
    assert one.read_bytes() == two.read_bytes()


def test_rows_stay_here_unless_asked_for(tmp_path: Path) -> None:
    report = prove(hotels())
    html = render_html(report, "zh")
    made = make_bundle(tmp_path / "v1", report=report.as_dict(), html=html)
    row = next(iter(report.mistakes[0].inputs.values()))
    sent = import_bundle(export_bundle(made, tmp_path / "x.tlb"), tmp_path / "without")
    full = import_bundle(export_bundle(made, tmp_path / "y.tlb", with_rows=True), tmp_path / "with")
    assert row in full.read("report.json").decode()
    assert not any(row.encode() in sent.read(name) for name in sent.manifest.files)
    assert sent.report["mistakes"] == []
    assert sent.report["metrics"] == full.report["metrics"]
    assert sent.read("report.html").startswith(b"<!doctype html>")
    assert sent.manifest.digest.answers == made.manifest.digest.answers
    assert sent.manifest.digest.files != made.manifest.digest.files
    assert Bundle.open(made.folder).manifest == made.manifest


def _archive(
    path: Path, members: list[tuple[zipfile.ZipInfo | str, bytes]], how: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(path, "w", how) as out:
        for name, content in members:
            out.writestr(name, content)
    return path


def _members(bundle: Bundle) -> list[tuple[zipfile.ZipInfo | str, bytes]]:
    names = [MANIFEST, *bundle.manifest.files]
    return [(name, (bundle.folder / name).read_bytes()) for name in names]


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "a/../../evil", "C:/evil", "..\\evil", "own/", ".bashrc"]
)
def test_a_zip_that_leaves_its_folder(bundle: Bundle, tmp_path: Path, name: str) -> None:
    file = _archive(tmp_path / "x.tlb", [*_members(bundle), (name, b"x")])
    with pytest.raises(BundleError, match="leaves the bundle"):
        import_bundle(file, tmp_path / "there" / "v1")
    assert not (tmp_path / "there" / "v1").exists()
    assert not list(tmp_path.rglob("*evil*"))


def test_a_zip_with_a_link(bundle: Bundle, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    file = _archive(tmp_path / "x.tlb", [*_members(bundle), (link, b"/etc/passwd")])
    with pytest.raises(BundleError, match="plain files"):
        import_bundle(file, tmp_path / "there")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["card.md", "CARD.md"])
def test_a_zip_that_names_a_file_twice(bundle: Bundle, tmp_path: Path, name: str) -> None:
    file = _archive(tmp_path / "x.tlb", [*_members(bundle), (name, b"x")])
    with pytest.raises(BundleError, match="twice"):
        import_bundle(file, tmp_path / "there")


def test_a_zip_bomb(bundle: Bundle, tmp_path: Path) -> None:
    file = _archive(
        tmp_path / "x.tlb", [*_members(bundle), ("own.bin", bytes(5_000_000))], zipfile.ZIP_DEFLATED
    )
    with pytest.raises(BundleError, match="more than it may"):
        import_bundle(file, tmp_path / "there")
    small = _archive(tmp_path / "y.tlb", _members(bundle), zipfile.ZIP_DEFLATED)
    with pytest.raises(BundleError, match="more than it may"):
        import_bundle(small, tmp_path / "there")


def test_too_many_or_too_large(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = export_bundle(bundle, tmp_path / "x.tlb", with_rows=True)
    monkeypatch.setattr(archive, "MAX_BYTES", 100)
    with pytest.raises(BundleError, match="more than it may"):
        import_bundle(file, tmp_path / "there")
    monkeypatch.undo()
    monkeypatch.setattr(archive, "MAX_FILES", 3)
    with pytest.raises(BundleError, match="more than it may"):
        import_bundle(file, tmp_path / "there")


def test_a_flipped_byte_in_an_archive(bundle: Bundle, tmp_path: Path) -> None:
    file = export_bundle(bundle, tmp_path / "x.tlb", with_rows=True)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError):
        import_bundle(file, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def _damaged(members: list[tuple[zipfile.ZipInfo | str, bytes]]) -> list[tuple[zipfile.ZipInfo | str, bytes]]:
    return [(name, content[:-1] + b"#" if name == "report.json" else content) for name, content in members]


@pytest.mark.parametrize(
    ("change", "member", "says"),
    [
        (_damaged, "report.json", "changed after"),
        (lambda members: members[:-1], "", "missing"),
        (lambda members: [*members, ("more.txt", b"x")], "", "doesn't name"),
        (lambda members: [*members, ("own/net", b"x"), ("own", b"x")], "", "folder's place"),
    ],
)
def test_what_is_wrong_in_an_archive_is_named_by_archive_and_member(
    bundle: Bundle, tmp_path: Path, change: Callable[[Any], Any], member: str, says: str
) -> None:
    file = _archive(tmp_path / "x.tlb", change(_members(bundle)))
    with pytest.raises(BundleError, match=says) as caught:
        import_bundle(file, tmp_path / "there")
    assert caught.value.where == (f"{file}, {member}" if member else str(file))
    assert "space" not in str(caught.value)
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry != bundle.folder) == ["x.tlb"]


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + bytes(100)])
def test_not_an_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.tlb").write_bytes(content)
    with pytest.raises(BundleError, match="not an exported bundle"):
        import_bundle(tmp_path / "x.tlb", tmp_path / "there")


def test_no_such_archive(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="can't be read"):
        import_bundle(tmp_path / "x.tlb", tmp_path / "there")


def test_a_folder_in_the_way(bundle: Bundle, tmp_path: Path) -> None:
    file = export_bundle(bundle, tmp_path / "x.tlb", with_rows=True)
    with pytest.raises(BundleError, match="already"):
        import_bundle(file, bundle.folder)


# ---- a network of the product's own --------------------------------------------------------------


def _network(path: Path, domain: str = "", location: str | None = None) -> dict[str, bytes]:
    """A tiny ONNX file; with `location` its weight lies in another file."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"], domain=domain)
    shape = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node],
        "g",
        [shape("x", TensorProto.FLOAT, [1, 2])],
        [shape("y", TensorProto.FLOAT, [1, 2])],
        [weight],
    )
    imports = [helper.make_opsetid(domain, 17)] + ([helper.make_opsetid("", 17)] if domain else [])
    model = helper.make_model(graph, opset_imports=imports)
    files = {}
    if location is not None:
        tensor = model.graph.initializer[0]
        files["own/weights.bin"] = tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
    files["own/net.onnx"] = onnx.ModelProto.SerializeToString(model)
    return files


def test_a_network_in_the_bundle(tmp_path: Path) -> None:
    files = _network(tmp_path)
    assert make_bundle(tmp_path / "v1", extra_files=files).read("own/net.onnx") == files["own/net.onnx"]
    made = make_bundle(tmp_path / "v2", extra_files=_network(tmp_path, location="weights.bin"))
    assert "own/weights.bin" in made.manifest.files


@pytest.mark.parametrize("location", ["../../other.bin", "/etc/passwd", "missing.bin"])
def test_a_network_whose_data_lies_outside(tmp_path: Path, location: str) -> None:
    (tmp_path / "other.bin").write_bytes(bytes(16))
    files = _network(tmp_path, location=location)
    with pytest.raises(BundleError, match="data"):
        make_bundle(tmp_path / "v1", extra_files=files)


@pytest.mark.parametrize("location", ["../card.md", "../../v1/card.md"])
def test_a_network_stays_in_its_own_folder(tmp_path: Path, location: str) -> None:
    with pytest.raises(BundleError, match="outside"):
        make_bundle(tmp_path / "v1", extra_files=_network(tmp_path, location=location))


def test_a_network_with_a_foreign_operator(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="foreign operator"):
        make_bundle(tmp_path / "v1", extra_files=_network(tmp_path, domain="com.example.evil"))
    with pytest.raises(BundleError, match="not an ONNX file"):
        make_bundle(tmp_path / "v2", extra_files={"own/net.onnx": b"junk"})
    assert not (tmp_path / "v1").exists()
