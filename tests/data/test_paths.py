from __future__ import annotations

from pathlib import Path

import pytest

from trunkline.data.paths import rows_of
from trunkline.data.read import open_path
from trunkline.errors import DataError
from trunkline.inputs.blob import DataFile
from trunkline.inputs.image import Image
from trunkline.inputs.text import Text
from trunkline.types import Refused


@pytest.mark.parametrize(("kind", "file"), [("image", "a/b.png"), ("audio", "a/b.wav")])
def test_cells_of_kinds_that_files_hold_name_files_beside_the_table(tmp_path: Path, kind: str, file: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / file).write_bytes(b"x")
    (tmp_path / "rows.csv").write_text(f"it,label\n{file},1\ndata:x;base64;AAAA,2\n", encoding="utf-8")
    first, second = rows_of(open_path(tmp_path / "rows.csv"), {"it": kind})
    assert first["it"] == DataFile(tmp_path / file)
    assert second["it"] == "data:x;base64;AAAA"
    plain, _ = rows_of(open_path(tmp_path / "rows.csv"), {"it": "text"})
    assert plain["it"] == file


def test_a_path_out_of_the_folder_is_refused_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("it,label\n../b.wav,1\n", encoding="utf-8")
    with pytest.raises(DataError, match="row 1"):
        list(rows_of(open_path(tmp_path / "rows.csv"), {"it": "audio"}))


def test_a_file_that_is_none_of_the_folders_kind_is_named_with_what_it_holds(tmp_path: Path) -> None:
    made = {"a/1.jpg": b"\xff\xd8\xff\xe0", "a/2.txt": b"\xff\xd8\xff\xe0" + bytes(20), "a/3.txt": "说明".encode(), "b/4.pdf": b"%PDF-1.7"}
    for name, content in made.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    rows = {row["file"]: row for row in rows_of(open_path(tmp_path), {"image": "image"})}
    assert rows["a/1.jpg"]["image"] == DataFile(tmp_path / "a" / "1.jpg")
    told = {}
    for name in list(made)[1:]:
        refused = Image().read(rows[name]["image"])
        assert isinstance(refused, Refused)
        assert (refused.code, Path(name).name in refused.message) == ("unreadable", True)
        told[name] = refused.message
    assert "holds a JPEG image" in told["a/2.txt"]
    assert "name it 2.jpg" in told["a/2.txt"]
    assert "holds text; wanted .bmp | .gif | .jpeg" in told["a/3.txt"]
    assert "holds a PDF" in told["b/4.pdf"]


def test_a_picture_among_texts_is_named_too(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (row,) = rows_of(open_path(tmp_path), {"text": "text"})
    refused = Text().read(row["text"])
    assert isinstance(refused, Refused)
    assert refused.message == "1.jpg can't be read as a text: it holds a JPEG image; wanted .txt, so move it out of the class folders"


def test_a_folder_s_texts_are_none_of_a_picture_s_concern(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.txt").write_text("card")
    assert list(rows_of(open_path(tmp_path), {"text": "text"})) == [{"file": "a/1.txt", "label": "a", "text": "card"}]
