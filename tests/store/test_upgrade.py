"""Migrations: to the newest revision from nothing and from every earlier one with rows in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, inspect, make_url, select, text

import trunkline.store.upgrade as module
from trunkline.store.database import Store, _engine, open_store
from trunkline.store.place import StoreError
from trunkline.store.tables import metadata
from trunkline.store.upgrade import MIGRATIONS, VERSION_TABLE, revision, revisions, upgrade

T = "2026-03-01 12:00:00"
HASH = {"sqlite": "x'00ff'", "postgresql": "'\\x00ff'::bytea"}

# Rows as each revision's own users left them: plain SQL, since tables.py knows only the newest.
ROWS = {
    "0001": {
        "organisations": f"('acme', '{T}')",
        "callers": f"('tl_abcdefgh', HASH, 'app', 'acme', '[\"predict\"]', '{T}', NULL, NULL)",
        "idempotency": f"(1, 'acme', 'app', 'k', HASH, 'c', '{T}', 200, HASH, '{T}')",
    },
    "0002": {
        "catalog": f"(1, 'support', 'v1', 'd', 'live', 100, '{T}', 'me', '第一版', NULL)",
        "jobs": f"('j', 'bulk', 'support', 'acme', 'app', '{{}}', 'queued', 0, NULL, NULL, NULL, '{T}')",
    },
    "0003": {
        "idempotency": f"(1, 'acme', 'app', 'k', HASH, 'c', '{T}', 200, HASH, '{T}', '{{}}')",
    },
    "0004": {
        "catalog": f"(1, 'support', 'v1', 'd', 'live', 100, '{T}', 'me', '第一版', NULL, 'deploy', true, '{{}}')",
        "traffic": "('support', '{\"era\": \"1\", \"versions\": {}}')",
    },
    "0005": {
        "jobs": f"('j', 'bulk', 'support', 'acme', 'app', '{{}}', 'running', 7, 'w', '{T}', NULL, '{T}', "
        f"'here', 9, 1, 0.5, '[[\"a\", 70]]', 1, '{T}', NULL)",
    },
}


@pytest.fixture
def bare(url: str) -> Iterator[Store]:
    """A store without any table."""
    store = Store(_engine(make_url(url)))
    yield store
    store.close()


def fill(store: Store, upto: str) -> dict[str, int]:
    """Table -> rows in it."""
    tables = {name: values for known, rows in ROWS.items() if known <= upto for name, values in rows.items()}
    with store.write() as connection:
        for name, values in tables.items():
            connection.execute(text(f"INSERT INTO {name} VALUES {values}".replace("HASH", HASH[connection.dialect.name])))
    return dict.fromkeys(tables, 1)


def counts(store: Store) -> dict[str, int]:
    with store.read() as connection:
        return {table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in metadata.sorted_tables}


def differences(store: Store) -> list[Any]:
    def ours(thing: Any, name: str | None, kind: str, *_: Any) -> bool:
        return not (kind == "table" and name == VERSION_TABLE)

    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
        return list(compare_metadata(context, metadata))


def test_from_nothing_to_the_tables_of_the_code(bare: Store) -> None:
    assert revision(bare) is None
    assert upgrade(bare) == revisions()[-1]
    assert revision(bare) == revisions()[-1]
    assert differences(bare) == []
    with bare.read() as connection:  # what compare_metadata doesn't look at
        for table in metadata.sorted_tables:
            checks = {check["name"] for check in inspect(connection).get_check_constraints(table.name)}
            wanted = {one.name for one in table.constraints if type(one).__name__ == "CheckConstraint"}
            assert checks == wanted


@pytest.mark.parametrize("earlier", sorted(ROWS))
def test_from_an_earlier_revision_with_rows(bare: Store, earlier: str) -> None:
    upgrade(bare, earlier)
    before = fill(bare, earlier)
    upgrade(bare)
    assert counts(bare) == {table.name: before.get(table.name, 0) for table in metadata.sorted_tables}
    assert differences(bare) == []


def test_every_revision_has_rows_to_test_with() -> None:
    assert sorted(ROWS) == revisions()


def test_the_files_names_are_the_chain(store: Store) -> None:
    script = ScriptDirectory(str(MIGRATIONS))
    assert [one.revision for one in script.walk_revisions()][::-1] == revisions()


def test_a_newer_store_is_refused(url: str, store: Store) -> None:
    with store.write() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer Trunkline") as caught:
        open_store(url)
    assert caught.value.found == "revision 9999"
    assert "install --upgrade" in caught.value.hint


def test_a_step_that_breaks_changes_nothing(bare: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    done = module._run

    def broken(connection: Any, to: str) -> None:
        done(connection, to)
        raise OSError("the power went")

    monkeypatch.setattr(module, "_run", broken)
    with pytest.raises(OSError, match="the power went"):
        upgrade(bare)
    with bare.read() as connection:
        assert inspect(connection).get_table_names() == []


def test_nothing_is_run_where_nothing_is_to_do(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_run", lambda *_: pytest.fail("it ran"))
    upgrade(store)
