from __future__ import annotations

from pathlib import Path

import pytest

from trunkline.data.sources.folder import FolderSource
from trunkline.errors import DataError
from trunkline.inputs.blob import DataFile


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
