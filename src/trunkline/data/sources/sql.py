"""A query on a database. Connections and their secrets live in the user's configuration only."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.data.note import Note
from trunkline.errors import DataError, MissingExtra, nearest
from trunkline.spec import Query

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

_ADDRESS = "check its address (dialect://user:password@host/database), and that the database's driver is installed"
_BATCH = 2_000  # rows in memory at once
_TYPES = {int: "a number", float: "a number", bool: "true or false", dict: "a table", list: "a list"}
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|--[^\n]*|/\*.*?\*/", re.DOTALL)
_WRITES = re.compile(r"\b(insert|update|delete|merge|into)\b", re.IGNORECASE)  # what may follow SELECT or WITH


class SqlSource:
    """Rows of one SELECT (or WITH ... SELECT), streamed."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self.notes: list[Note] = []

    def describe(self) -> str:
        return f"query on connection {self.query.connection!r}"

    def rows(self) -> Iterator[dict[str, Any]]:
        """Streams rows in one read-only transaction that is rolled back.

        Raises DataError: unknown connection, a statement that is not one SELECT, a failing query;
        MissingExtra without SQLAlchemy or PostgreSQL's driver. No message holds the address or password.
        """
        try:
            from sqlalchemy import create_engine, exc, make_url
        except ImportError:
            raise MissingExtra("SQLAlchemy", "sql") from None
        check_select(self.query.query, self.describe())
        address = connection_url(self.query.connection)
        try:
            url = make_url(address)
            engine = create_engine(url, hide_parameters=True)
        except (exc.ArgumentError, exc.NoSuchModuleError, ImportError, ValueError) as error:
            if getattr(error, "name", None) == "psycopg":
                raise MissingExtra("psycopg, the driver of PostgreSQL,", "postgres") from None
            raise self._failed("the connection can't be opened", type(error).__name__, _ADDRESS) from None
        try:
            with engine.connect() as connection:
                yield from self._stream(connection)
        except exc.SQLAlchemyError as error:
            cause = str(getattr(error, "orig", None) or error).strip()
            raise self._failed("the query failed", redact(cause, url)) from None
        finally:
            engine.dispose()

    def _stream(self, connection: Connection) -> Iterator[dict[str, Any]]:
        # without parameters: a driver given an empty list of them would take "LIKE '5%'" for a place-holder
        connection = connection.execution_options(stream_results=True, yield_per=_BATCH, no_parameters=True)
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA query_only = ON")
        if connection.dialect.name == "postgresql":
            connection = connection.execution_options(postgresql_readonly=True)
        with connection.exec_driver_sql(self.query.query) as result:
            names = list(result.keys())
            if len(set(names)) < len(names):
                twice = sorted({name for name in names if names.count(name) > 1})
                raise DataError("the query names a column twice", where=self.describe(), found=", ".join(twice))
            for row in result:
                yield dict(zip(names, row, strict=True))

    def _failed(self, what: str, found: str, hint: str = "") -> DataError:
        return DataError(what, where=self.describe(), found=f"{found:.200}", hint=hint)


def connection_url(name: str) -> str:
    """The address of a named connection: $TRUNKLINE_CONNECTION_<NAME>, else connections.toml.

    The file holds `name = "postgresql://..."` lines and lies in $TRUNKLINE_CONFIG, or in the user's
    configuration folder. Raises DataError with the nearest known name.
    """
    variable = "TRUNKLINE_CONNECTION_" + re.sub(r"\W", "_", name).upper()
    if variable in os.environ:
        return os.environ[variable]
    file = config_folder() / "connections.toml"
    try:
        known = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        known = {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError("connections.toml can't be read", where=str(file), found=type(error).__name__) from None
    wanted = f'a line {name} = "dialect://user:password@host/database", or the variable {variable}'
    if name not in known:
        raise DataError(
            f"there is no connection called {name!r}", where=str(file), wanted=wanted, hint=nearest(name, known)
        )
    if not isinstance(known[name], str):  # its type alone is shown: the value may hold a password
        found = _TYPES.get(type(known[name]), "no text")
        raise DataError(f"the connection {name!r} is no address in quotes", where=str(file), found=found, wanted=wanted)
    return str(known[name])


def config_folder() -> Path:
    """$TRUNKLINE_CONFIG, or the user's configuration folder of this system."""
    from platformdirs import user_config_path

    named = os.environ.get("TRUNKLINE_CONFIG")
    return Path(named) if named else user_config_path("trunkline")


def check_select(statement: str, where: str) -> None:
    """Raises DataError unless `statement` is a single SELECT, or WITH that only reads."""
    bare = _QUOTED.sub(" ", statement).strip().rstrip(";").strip()
    first = bare.split(None, 1)[0].lower() if bare else ""
    written = _WRITES.search(bare)
    if first in ("select", "with") and ";" not in bare and written is None:
        return
    found = written[0] if written else ("several statements" if ";" in bare else first or "nothing")
    raise DataError("this query does more than read", where=where, found=found, wanted="one SELECT")


def redact(text: str, url: URL) -> str:
    """`text` without the password, the user, the host or any option of `url`."""
    others = [url.username, url.host, *url.query.values()]
    secrets = [str(url.password or "")] + [str(other) for other in others if other and len(str(other)) > 2]
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
