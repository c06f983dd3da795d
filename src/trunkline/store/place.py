"""Where the store lies. Light: a server that has no store loads nothing else of this package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.errors import MissingExtra, TrunklineError

if TYPE_CHECKING:
    from trunkline.store.catalog import Registry
    from trunkline.store.database import Store

VARIABLE = "TRUNKLINE_STORE"
REGISTRY = "TRUNKLINE_REGISTRY"


class StoreError(TrunklineError):
    """The store can't be opened, read or written, or does not hold what was asked for."""


def store_url(folder: Path, wanted: str | None = None) -> str:
    """The URL named by the caller, else by $TRUNKLINE_STORE, else SQLite at `<folder>/.trunkline/store.db`."""
    named = _named(wanted)
    return named or f"sqlite:///{embedded(folder)}"


def store_exists(folder: Path, wanted: str | None = None) -> bool:
    """Whether there is a store to open: one was named, or the embedded one was made before."""
    return bool(_named(wanted)) or embedded(folder).is_file()


def open_at(folder: Path, wanted: str | None = None) -> Store:
    """The store of a folder, made where there is none. Raises StoreError, MissingExtra."""
    _has_sql()
    from trunkline.store.database import open_store

    return open_store(store_url(folder, wanted))


def registry_at(url: str | None, keep_open: bool = False) -> Registry | None:
    """The registry at an address; None without one. keep_open: for a server, which asks it every second.

    Raises StoreError, MissingExtra.
    """
    if not url:
        return None
    _has_sql()
    from trunkline.store.catalog import Registry
    from trunkline.store.database import open_store

    return Registry(url, open_store(url) if keep_open else None)


def embedded(folder: Path) -> Path:
    """The file of the store that lies beside the products."""
    return folder.resolve() / ".trunkline" / "store.db"


def _has_sql() -> None:
    try:
        import trunkline.store.database  # noqa: F401
    except ImportError:
        raise MissingExtra("SQLAlchemy with Alembic", "sql") from None


def jobs_folder(folder: Path) -> Path:
    """Where the files of long jobs lie, wherever the store is."""
    return folder.resolve() / ".trunkline" / "jobs"


def _named(wanted: str | None) -> str | None:
    return wanted or os.environ.get(VARIABLE)
