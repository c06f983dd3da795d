"""Who may call a server: keys made, listed and revoked, as plain values."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trunkline.store.callers import Key
    from trunkline.store.database import Store


def add(
    folder: Path,
    name: str,
    *,
    organisation: str | None = None,
    scopes: Collection[str] = ("predict", "read"),
    days: int | None = None,
    store: str | None = None,
) -> dict[str, Any]:
    """A new key of caller `name`: {"key", "prefix", "name", ...}. `key` is nowhere else and can't be shown again.

    The organisation is the caller's own name unless given: callers of one organisation share its cache and its
    share of the server. Raises StoreError.
    """
    now = datetime.now(UTC)
    expires = None if days is None else now + timedelta(days=days)
    with _opened(folder, store) as opened:
        from trunkline.store.callers import add_key

        secret, key = add_key(opened, name, organisation or name, scopes, now, expires)
    return {"key": secret, **_plain(key, now)}


def listed(folder: Path, *, store: str | None = None) -> list[dict[str, Any]]:
    """All keys that were ever made, the oldest first, without what can't be known of them. Raises StoreError."""
    from trunkline.store.place import store_exists

    if not store_exists(folder, store):
        return []
    now = datetime.now(UTC)
    with _opened(folder, store) as opened:
        from trunkline.store.callers import list_keys

        return [_plain(key, now) for key in list_keys(opened)]


def revoke(folder: Path, prefix: str, *, store: str | None = None) -> dict[str, Any]:
    """Ends a key, named by how it starts. Running servers follow within seconds. Raises StoreError."""
    now = datetime.now(UTC)
    with _opened(folder, store) as opened:
        from trunkline.store.callers import revoke_key

        return _plain(revoke_key(opened, prefix, now), now)


@contextmanager
def _opened(folder: Path, store: str | None) -> Iterator[Store]:
    from trunkline.store.place import open_at

    opened = open_at(folder, store)
    try:
        yield opened
    finally:
        opened.close()


def _plain(key: Key, now: datetime) -> dict[str, Any]:
    state = "valid" if key.valid(now) else "expired" if key.revoked is None else "revoked"
    return {
        "prefix": key.prefix,
        "name": key.name,
        "organisation": key.organisation,
        "scopes": sorted(key.scopes),
        "state": state,
        "created": key.created.isoformat(timespec="seconds"),
        "expires": None if key.expires is None else key.expires.isoformat(timespec="seconds"),
        "revoked": None if key.revoked is None else key.revoked.isoformat(timespec="seconds"),
    }
