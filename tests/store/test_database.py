from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select, text

from trunkline.store.database import Store, open_store
from trunkline.store.place import StoreError
from trunkline.store.tables import organisations

ROOT = Path(__file__).parents[2]
WRITERS = 4
ROWS = 60

# Each row is written twice, in one transaction: half a transaction would show.
WRITE = f"""
import sys
from datetime import UTC, datetime
from trunkline.store.database import open_store
from trunkline.store.tables import organisations
url, name, forever = sys.argv[1], sys.argv[2], sys.argv[3] == "forever"
store = open_store(url)
i = 0
while forever or i < {ROWS}:
    with store.write() as connection:
        for half in "ab":
            connection.execute(organisations.insert().values(name=f"{{name}}-{{i}}-{{half}}", created=datetime.now(UTC)))
    i += 1
    print(i, flush=True)
"""


def writer(url: str, name: str, how: str = "once") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITE, url, name, how], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def names(store: Store) -> list[str]:
    with store.read() as connection:
        return list(connection.scalars(select(organisations.c.name)))


def test_four_processes_write_at_once_and_a_killed_one_leaves_whole_transactions(url: str) -> None:
    """All four open an empty database at the same moment, so they also meet at its first migration."""
    doomed = writer(url, "doomed", "forever")
    writers = [writer(url, f"w{n}") for n in range(WRITERS - 1)]
    try:
        assert doomed.stdout is not None
        while int(doomed.stdout.readline() or ROWS) < ROWS // 2:
            pass
        doomed.kill()
        said = [process.communicate(timeout=60) for process in writers]
    finally:
        _end([doomed, *writers])
    assert [process.returncode for process in writers] == [0] * len(writers), said
    store = open_store(url)
    found = names(store)
    for n in range(WRITERS - 1):
        assert sum(name.startswith(f"w{n}-") for name in found) == 2 * ROWS
    left = {name.removesuffix("-a") for name in found if name.startswith("doomed") and name.endswith("-a")}
    assert len(left) >= ROWS // 2
    assert left == {name.removesuffix("-b") for name in found if name.startswith("doomed") and name.endswith("-b")}
    store.close()


def _end(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        process.kill()
        process.communicate(timeout=20)


def test_a_transaction_is_kept_whole_or_not_at_all(store: Store, now: datetime) -> None:
    def half() -> None:
        with store.write() as connection:
            connection.execute(organisations.insert().values(name="acme", created=now))
            raise KeyError("half way")

    with pytest.raises(KeyError, match="half way"):
        half()
    assert names(store) == []


def test_a_row_is_inserted_once(store: Store, now: datetime) -> None:
    row = {"name": "海燕", "created": now}
    with store.write() as connection:
        assert store.insert_new(connection, organisations, row)
        assert not store.insert_new(connection, organisations, row)
    assert names(store) == ["海燕"]


def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="can't be read or written"), store.write() as connection:
        connection.execute(organisations.insert().values(name="acme", created=datetime(2026, 1, 1)))


def test_a_reader_does_not_wait_for_a_writer(store: Store, now: datetime) -> None:
    with store.write() as connection:
        connection.execute(organisations.insert().values(name="acme", created=now))
        assert names(store) == []
    assert names(store) == ["acme"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nonsense secret", "can't be read"),
        ("mysql://u:secret@h/d", "this kind of database"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("postgresql://u:secret@127.0.0.1:1/d", "can't be read or written"),
    ],
)
def test_addresses_that_are_no_store(address: str, said: str) -> None:
    with pytest.raises(StoreError, match=said) as caught:
        open_store(address)
    assert "secret" not in str(caught.value)


def test_a_server_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.store.database.REACH_SECONDS", 2)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://u:secret@127.0.0.1:{silent.getsockname()[1]}/none"
        with pytest.raises(StoreError, match="can't be read or written"):
            open_store(url)
    assert time.monotonic() - began < 20


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="can't be read or written") as caught:
        open_store(f"sqlite:///{tmp_path / 'store.db'}")
    assert "not a database" in caught.value.found


def test_sqlite_is_in_wal_mode_and_checks_foreign_keys(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'new' / 'store.db'}")
    with store.read() as connection:
        for pragma, value in (("journal_mode", "wal"), ("foreign_keys", 1), ("busy_timeout", 10_000)):
            assert connection.execute(text(f"PRAGMA {pragma}")).scalar_one() == value
    store.close()


def test_a_full_disk_is_one_clear_error(tmp_path: Path, now: datetime) -> None:
    """SQLite's own limit of pages stands in for the disk's end."""
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    with store.read() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()

    def fill() -> None:
        with store.write() as connection:
            connection.execute(text(f"PRAGMA max_page_count = {pages}"))
            for n in range(10_000):
                connection.execute(organisations.insert().values(name=f"{n:080}", created=now))

    with pytest.raises(StoreError, match="can't be read or written") as caught:
        fill()
    assert "full" in caught.value.found
    assert names(store) == []
    store.close()


def test_a_zone_is_turned_into_utc(url: str, store: Store) -> None:
    """PostgreSQL answers in the session's zone, SQLite without any."""
    there = datetime.fromisoformat("2026-03-01T20:00:00+08:00")
    with store.write() as connection:
        if not store.sqlite:
            connection.execute(text("SET TIME ZONE 'America/New_York'"))
        connection.execute(organisations.insert().values(name="acme", created=there))
        found = connection.execute(select(organisations.c.created)).scalar_one()
    assert found == there
    assert found.isoformat() == "2026-03-01T12:00:00+00:00"


def test_the_embedded_store_is_a_plain_sqlite_file(tmp_path: Path, now: datetime) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    store.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
    engine.dispose()
