"""Bringing a store to the newest revision, in one transaction, while others wait."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from trunkline.store.database import Store
from trunkline.store.place import StoreError

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "trunkline_revision"
_LOCK = 0x74726E6B  # "trnk": the number of the advisory lock on PostgreSQL


def revisions() -> list[str]:
    """All known, oldest first: rNNNN_what.py is revision NNNN."""
    return sorted(path.stem[1:5] for path in (MIGRATIONS / "versions").glob("r*.py"))


def revision(store: Store) -> str | None:
    """Which the store is of; None if nothing was ever written to it. Raises StoreError."""
    with store.read() as connection:
        return _revision(connection)


def upgrade(store: Store, to: str | None = None) -> str:
    """Brings the store to a revision, the newest unless told, and gives it back.

    Nothing is imported or locked where nothing is to do. All steps are one transaction: a crash leaves the
    store as it was. Raises StoreError if it was written by a newer Trunkline.
    """
    to = to or revisions()[-1]
    if _checked(store, revision(store)) != to:
        with store.write() as connection:
            if not store.sqlite:  # on SQLite the transaction itself is the lock
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
            if _checked(store, _revision(connection)) != to:
                _run(connection, to)
    return to


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()


def _checked(store: Store, found: str | None) -> str | None:
    known = revisions()
    if found is not None and found not in known:
        raise StoreError(
            "the store was written by a newer Trunkline",
            where=store.where,
            found=f"revision {found}",
            wanted=f"at most {known[-1]}",
            hint="pip install --upgrade trunkline",
        )
    return found


def _run(connection: Connection, to: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
