"""Keys and their holders. A key is shown once, when it is made; the store knows only its SHA-256."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update

from trunkline.errors import nearest
from trunkline.store.database import Store
from trunkline.store.place import StoreError
from trunkline.store.tables import callers, organisations

SCOPES = ("predict", "read", "admin")
_MARK = "tl_"
_KEY = re.compile(r"tl_[A-Za-z0-9_-]{43}")
_SHOWN = 11  # characters of a key that recognise it: the mark and 48 of its 256 bits
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")


@dataclass(frozen=True)
class Key:
    """What is known of a key besides its hash. `prefix` is how it starts, which is also its name here."""

    prefix: str
    name: str
    organisation: str
    scopes: frozenset[str]
    created: datetime
    revoked: datetime | None
    expires: datetime | None

    def valid(self, now: datetime) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)


def hash_key(key: str) -> bytes | None:
    """The SHA-256 that a key is found by (32 bytes); None for what can't be a key.

    256 random bits need no slow hash. Looking up by hash also hides, from one who measures time, how much of a
    guess was right.
    """
    return hashlib.sha256(key.encode()).digest() if _KEY.fullmatch(key) else None


def add_key(
    store: Store,
    name: str,
    organisation: str,
    scopes: Collection[str],
    now: datetime,
    expires: datetime | None = None,
) -> tuple[str, Key]:
    """A new key of a caller, to be shown once, and what is kept of it. Raises StoreError.

    An organisation is made with its first key. A caller may hold several keys, to change one for another.
    """
    _check(name, organisation, scopes, now, expires)
    secret = _MARK + secrets.token_urlsafe(32)
    key = Key(secret[:_SHOWN], name, organisation, frozenset(scopes), now, None, expires)
    with store.write() as connection:
        store.insert_new(connection, organisations, {"name": organisation, "created": now})
        connection.execute(
            callers.insert().values(
                prefix=key.prefix,
                hash=hashlib.sha256(secret.encode()).digest(),
                name=name,
                organisation=organisation,
                scopes=sorted(key.scopes),
                created=now,
                expires=expires,
            )
        )
    return secret, key


def find_key(store: Store, key_hash: bytes) -> Key | None:
    """The key of a hash, revoked and expired ones too."""
    with store.read() as connection:
        row = connection.execute(select(callers).where(callers.c.hash == key_hash)).one_or_none()
    return None if row is None else _key(row)


def list_keys(store: Store) -> list[Key]:
    """Oldest first."""
    with store.read() as connection:
        return [_key(row) for row in connection.execute(select(callers).order_by(callers.c.created))]


def has_keys(store: Store) -> bool:
    """Whether a key was ever made: revoking the last one doesn't open a server to everybody."""
    with store.read() as connection:
        return connection.execute(select(callers.c.prefix).limit(1)).first() is not None


def revoke_key(store: Store, prefix: str, now: datetime) -> Key:
    """Ends a key named by how it starts. Raises StoreError if there is none; a revoked one stays as it was."""
    change = update(callers).where(callers.c.prefix == prefix[:_SHOWN])
    with store.write() as connection:
        connection.execute(change.where(callers.c.revoked.is_(None)).values(revoked=now))
        row = connection.execute(select(callers).where(callers.c.prefix == prefix[:_SHOWN])).one_or_none()
    if row is None:
        known = (key.prefix for key in list_keys(store))
        raise StoreError("no key starts like this", found=repr(prefix[:_SHOWN]), hint=nearest(prefix[:_SHOWN], known))
    return _key(row)


def _key(row: Row[Any]) -> Key:
    return Key(
        row.prefix, row.name, row.organisation, frozenset(row.scopes), row.created, row.revoked, row.expires
    )


def _check(
    name: str, organisation: str, scopes: Collection[str], now: datetime, expires: datetime | None
) -> None:
    for what, value in (("caller", name), ("organisation", organisation)):
        if not _NAME.fullmatch(value):
            wanted = "at most 80 of a-z 0-9 . _ -, a letter or digit first"
            raise StoreError(f"the {what} can't be called this", found=repr(value[:80]), wanted=wanted)
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        hint = nearest(unknown[0], SCOPES) if unknown else ""
        raise StoreError("a key needs known scopes", found=unknown[0] if unknown else "none", wanted=", ".join(SCOPES), hint=hint)
    if expires is not None and expires <= now:
        raise StoreError("the key would have expired already", found=expires.isoformat(), wanted="a time to come")
