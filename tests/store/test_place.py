from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trunkline.store.place import VARIABLE, embedded, store_exists, store_url


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_beside_the_products_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store_url(tmp_path) == f"sqlite:///{tmp_path}/.trunkline/store.db"
    monkeypatch.setenv(VARIABLE, "postgresql://here/b")
    assert store_url(tmp_path) == "postgresql://here/b"
    assert store_url(tmp_path, "sqlite:///other.db") == "sqlite:///other.db"


def test_it_exists_once_it_was_made_or_named(tmp_path: Path) -> None:
    assert not store_exists(tmp_path)
    assert store_exists(tmp_path, "postgresql://here/b")
    embedded(tmp_path).parent.mkdir()
    embedded(tmp_path).touch()
    assert store_exists(tmp_path)


def test_asking_for_the_place_loads_no_sql() -> None:
    code = "import trunkline.store.place, trunkline.serve.auth, trunkline.serve.idempotency, trunkline.keys, sys\n"
    done = subprocess.run(
        [sys.executable, "-c", code + "print(*(n for n in ('sqlalchemy', 'alembic', 'sqlite3') if n in sys.modules))"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.split() == []
