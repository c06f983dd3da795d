from __future__ import annotations

from pathlib import Path

import pytest

from trunkline.errors import TrunkError
from trunkline.trunks.cache import prepared, verified


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path))


def test_built_once_and_again_when_altered() -> None:
    built: list[Path] = []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "weights").write_bytes(b"abc")

    folder = prepared("some/trunk", "f" * 32, build)
    assert prepared("some/trunk", "f" * 32, build) == folder
    assert len(built) == 1
    (folder / "weights").write_bytes(b"abd")  # a flipped bit
    assert (prepared("some/trunk", "f" * 32, build) / "weights").read_bytes() == b"abc"
    assert len(built) == 2


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared("t", "a" * 32, build)
    assert [p.name for p in (tmp_path / "trunks").iterdir() if p.is_dir()] == []


def test_weights_are_verified(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"x")
    with pytest.raises(TrunkError, match="not the file that was checked"):
        verified(path, "0" * 64, "package==1")
    with pytest.raises(TrunkError, match="not installed"):
        verified(None, "0" * 64, "package==1")
