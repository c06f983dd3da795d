from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trunkline.trunks import tables
from trunkline.trunks.tables import DenseTable


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_rows_are_the_files(tmp_path: Path, kind: type[np.floating[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_KEPT", 4)  # so that rows are read again
    whole = np.random.default_rng(0).normal(size=(50, 24)).astype(kind)
    np.save(tmp_path / "words.npy", whole)
    table = DenseTable(tmp_path / "words.npy")
    for ids in ([[3, 3, 49, 0]], [[1, 2], [2, 7]], np.arange(50)[None]):
        found = table.rows(np.asarray(ids, np.int64))
        assert found.dtype == np.float32
        assert np.array_equal(found, whole[np.asarray(ids)].astype(np.float32))


def test_the_file_is_not_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "words.npy", np.zeros((10_000, 64), np.float32))
    table = DenseTable(tmp_path / "words.npy")
    table.rows(np.arange(0, 10_000, 100))
    assert str(tmp_path) not in Path("/proc/self/maps").read_text(encoding="utf-8")
