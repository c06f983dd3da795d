"""Which version of a product plays which role, and who said so. Nothing is ever overwritten: a role's holder
ends, the next begins, and both stay on record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, select, update

from trunkline.store.database import Store
from trunkline.store.tables import catalog

Role = Literal["live", "canary", "shadow"]
_t = catalog.c


@dataclass(frozen=True)
class Placement:
    """A version in a role. `share`: percent of a canary's calls, above 0 and at most 100."""

    product: str
    version: str
    digest: str
    role: Role
    created: datetime
    who: str
    reason: str = ""
    share: float = 100.0
    ended: datetime | None = None


def place(store: Store, placement: Placement) -> None:
    """Gives a role to a version; who had it ends in the same transaction. Raises StoreError."""
    with store.write() as connection:
        _end(connection, placement.product, placement.role, placement.created)
        connection.execute(catalog.insert().values(vars(placement)))


def end(store: Store, product: str, role: Role, now: datetime) -> bool:
    """Leaves a role empty; False if it was. Raises StoreError."""
    with store.write() as connection:
        return _end(connection, product, role, now)


def placements(store: Store) -> list[Placement]:
    """Who plays which role now, all products. Raises StoreError."""
    present = select(catalog).where(_t.ended.is_(None)).order_by(_t.product, _t.role)
    with store.read() as connection:
        return [_placement(row) for row in connection.execute(present)]


def history(store: Store, product: str) -> list[Placement]:
    """All placements of a product that ever were, the newest first. Raises StoreError."""
    all_ = select(catalog).where(_t.product == product).order_by(_t.id.desc())
    with store.read() as connection:
        return [_placement(row) for row in connection.execute(all_)]


def _end(connection: Connection, product: str, role: Role, now: datetime) -> bool:
    held = update(catalog).where(_t.product == product, _t.role == role, _t.ended.is_(None))
    return connection.execute(held.values(ended=now)).rowcount > 0


def _placement(row: Row[Any]) -> Placement:
    return Placement(
        row.product, row.version, row.digest, row.role, row.created, row.who, row.reason, row.share, row.ended
    )
