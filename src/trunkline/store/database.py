"""Opening the store, and its transactions.

SQLite is in WAL mode: readers never wait, and whoever writes holds the file's one write lock from the start of
its transaction (BEGIN IMMEDIATE), so that several processes take turns, each for a millisecond or so; one that
is killed leaves the last whole transaction. PostgreSQL does the same by rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, exc, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection

from trunkline.errors import MissingExtra
from trunkline.store.place import StoreError

BUSY_SECONDS = 10  # that a writer waits for its turn
REACH_SECONDS = 5  # that PostgreSQL has to answer a connection, or to acknowledge what was sent
_OPEN_SECONDS = 60  # that one who opens waits for another's migration
_KNOWN = ("sqlite", "postgresql")
_ADDRESS = "sqlite:///path/store.db | postgresql://user:password@host/database"
_WRITES = "trunkline_writes"


class Store:
    """An open store. Safe to share between threads; a process of its own opens its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(**{_WRITES: True})

    @property
    def sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @property
    def where(self) -> str:
        """The address without its password."""
        return _shown(self._engine.url)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent look. Raises StoreError where the database can't be reached."""
        with self._telling(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: all of it is kept, or nothing where the block raises. Keep it short. Raises StoreError."""
        with self._telling(), self._writer.begin() as connection:
            yield connection

    def insert_new(self, connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
        """Inserts a row unless one with its primary or unique key is there; whether it did."""
        insert = sqlite.insert if self.sqlite else postgresql.insert
        made = insert(table).values(values).on_conflict_do_nothing().returning(*table.primary_key)
        return connection.execute(made).first() is not None

    def turn(self, connection: Connection, name: str) -> None:
        """Waits until no other transaction has this name, and has it until its own ends. SQLite has one writer anyway."""
        if not self.sqlite:
            number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except exc.SQLAlchemyError as error:
            self._fail(error)

    def _fail(self, error: exc.SQLAlchemyError) -> NoReturn:
        """The driver's own words without secrets; the statement and its values stay out."""
        from trunkline.data.sources.sql import redact

        found = redact(str(getattr(error, "orig", None) or error).strip(), self._engine.url)
        raise StoreError(
            "the store can't be read or written",
            where=self.where,
            found=f"{found:.200}",
            hint="check that the database can be reached, isn't full, and that nobody holds it",
        ) from None


def shown(url: str) -> str:
    """An address without its password. Raises StoreError."""
    return _shown(_address(url))


def open_store(url: str) -> Store:
    """The store at an address, made where there is none and brought to the newest revision.

    Raises StoreError: no such address, unreachable, or written by a newer Trunkline; MissingExtra without
    PostgreSQL's driver.
    """
    from trunkline.store.upgrade import upgrade

    address = _address(url)
    with _alone(address):
        store = Store(_engine(address))
        try:
            upgrade(store)
        except BaseException:
            store.close()
            raise
    return store


def _shown(url: URL) -> str:
    return url.set(query={}).render_as_string(hide_password=True)


def _address(url: str) -> URL:
    try:
        address = make_url(url)
    except (exc.ArgumentError, ValueError):  # its text may hold a password
        raise StoreError("the address of the store can't be read", wanted=_ADDRESS) from None
    name = address.get_backend_name()
    if name not in _KNOWN:
        raise StoreError("this kind of database can't be the store", found=name, wanted=_ADDRESS)
    if name == "sqlite" and address.database in (None, "", ":memory:"):
        raise StoreError("a store in memory would forget its keys", wanted=_ADDRESS)
    return address


def _alone(address: URL) -> AbstractContextManager[Any]:
    """Two that open a new SQLite file at once: turning WAL on doesn't wait for its turn, so a lock does."""
    if address.get_backend_name() != "sqlite":
        return nullcontext()
    from filelock import FileLock

    file = Path(str(address.database))
    if not file.parent.is_dir():
        file.parent.mkdir(parents=True, mode=0o700)
    return FileLock(f"{file}.lock", timeout=_OPEN_SECONDS)


def _engine(address: URL) -> Engine:
    reach = {"connect_timeout": REACH_SECONDS, "tcp_user_timeout": REACH_SECONDS * 1000}  # libpq's names
    connect = reach if address.get_backend_name() == "postgresql" else {}
    try:
        engine = create_engine(address, hide_parameters=True, pool_pre_ping=True, connect_args=connect)
    except (exc.NoSuchModuleError, ImportError):
        if address.get_backend_name() == "postgresql":
            raise MissingExtra("psycopg, the driver of PostgreSQL,", "postgres") from None
        raise
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: DBAPIConnection, record: Any) -> None:
    """Python's sqlite3 would begin transactions late and by itself; `_begin` does it instead."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (f"busy_timeout = {BUSY_SECONDS * 1000}", "journal_mode = WAL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later could find itself overtaken; IMMEDIATE takes the lock now.
    kind = "IMMEDIATE" if connection.get_execution_options().get(_WRITES) else "DEFERRED"
    connection.exec_driver_sql(f"BEGIN {kind}")
