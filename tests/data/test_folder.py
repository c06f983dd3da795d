from __future__ import annotations

from pathlib import Path

import pytest

from trunkline.data.sources.folder import FolderSource
from trunkline.errors import DataError
from trunkline.init import init_from_file
from trunkline.inputs.blob import DataFile
from trunkline.inputs.text import Text
from trunkline.product import Product
from trunkline.types import Refused


def test_files_sorted_with_text_for_txt_and_pictures_by_their_names(tmp_path: Path) -> None:
    for name in ("b/1.jpg", "a/2.txt", "a/deep/1.TXT", "a/.hidden", ".git/x", "top.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes("我的卡还没到".encode("gbk") if name == "a/2.txt" else b"x")
    source = FolderSource(tmp_path)
    assert list(source.rows()) == [
        {"file": "a/2.txt", "label": "a", "text": "我的卡还没到"},
        {"file": "a/deep/1.TXT", "label": "a", "text": "x"},
        {"file": "b/1.jpg", "label": "b", "image": DataFile(tmp_path / "b/1.jpg")},
    ]
    assert [note.code for note in source.notes] == ["encoding"]


def test_no_class_folders(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="no class folders"):
        list(FolderSource(tmp_path).rows())


def test_a_link_that_leaves_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("x")
    (tmp_path / "rows" / "a").mkdir(parents=True)
    (tmp_path / "rows" / "a" / "1.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(DataError, match="leaves the folder"):
        list(FolderSource(tmp_path / "rows").rows())


def test_a_huge_text_is_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.txt").write_text("x" * 10_000_000)
    (tmp_path / "a" / "2.txt").write_text("")
    first, second = FolderSource(tmp_path).rows()
    assert 1_000_000 < len(first["text"]) < 2_000_000
    assert second["text"] == ""


def test_what_is_no_text_fails_its_own_row_only(tmp_path: Path) -> None:
    for label, word in (("pay", "refund money {i} please"), ("post", "parcel courier {i} late")):
        (tmp_path / "rows" / label).mkdir(parents=True)
        for i in range(20):
            (tmp_path / "rows" / label / f"{i}.txt").write_text(word.format(i=i), encoding="utf-8")
    for name, data in (("photo", b"\x89PNG\r\n\x1a\n" + bytes(200)), ("junk", bytes(range(32)) * 9), ("odd", b"caf\x81\xff \x00\x01\x02" * 40)):
        (tmp_path / "rows" / "pay" / f"{name}.txt").write_bytes(data)
    guess = init_from_file(tmp_path / "letters", "letters", tmp_path / "rows", None, None)
    assert dict(guess.inputs) == {"text": "text"}
    report = Product(tmp_path / "letters").validate()
    assert report.rows["dropped"] == 3
    assert report.rows["train"] + report.rows["test"] == 40
    told = str([finding.rows for finding in report.findings])
    assert "photo.txt can't be read as a text: a PNG image" in told
    assert "junk.txt can't be read as a text: " in told


def test_a_note_among_pictures_makes_no_column(tmp_path: Path) -> None:
    """A file is of one kind, so a folder's product reads one: what most of its files are."""
    picture = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    for label, colour in (("leaf", 40), ("fire", 220)):
        (tmp_path / "rows" / label).mkdir(parents=True)
        for i in range(12):
            picture.new("RGB", (12, 12), (colour, 90, i)).save(tmp_path / "rows" / label / f"{i}.png")
        (tmp_path / "rows" / label / "notes.txt").write_text(f"taken in {label} season")
    guess = init_from_file(tmp_path / "plants", "plants", tmp_path / "rows", None, None)
    assert dict(guess.inputs) == {"image": "image"}


def test_bytes_that_do_not_fit_the_named_encoding_fail_their_own_row(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.txt").write_bytes("我".encode("gbk"))
    (tmp_path / "a" / "2.txt").write_bytes("我".encode())
    first, second = FolderSource(tmp_path, "utf-8").rows()
    refused = Text().read(first["text"])
    assert isinstance(refused, Refused)
    assert "1.txt" in refused.message
    assert "not utf-8" in refused.message
    assert second["text"] == "我"
    with pytest.raises(DataError, match="encoding is not known"):
        list(FolderSource(tmp_path, "utf-99").rows())
