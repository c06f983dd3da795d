from __future__ import annotations

from pathlib import Path

import pytest

from trunkline.data.paths import rows_of
from trunkline.data.read import open_path
from trunkline.errors import DataError
from trunkline.inputs.blob import DataFile


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
