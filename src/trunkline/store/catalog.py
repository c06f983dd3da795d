"""The catalog table as a registry: which versions serve, for all products and however many machines.

A row is a change. Nothing is overwritten: what serves follows from the changes, as it does for shelf.json, and the
holder of a role is the row without an end. Bundles lie in folders; the table names them by version and digest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import groupby
from typing import Any, get_args

import msgspec
from sqlalchemy import Connection, Row, func, select, update

from trunkline.metrics.traffic import Counts
from trunkline.record import Deployment, Holds, Record, Role, Tally, added, always, era, record_of, tallied
from trunkline.store.database import Store, open_store, shown
from trunkline.store.tables import catalog, traffic

_LONGEST = 1000  # signs of a reason that are kept
_t = catalog.c


class Registry:
    """All products' records. `store`: one that stays open; else the one at `url` is opened for each use."""

    def __init__(self, url: str, store: Store | None = None) -> None:
        self.where = shown(url)
        self._url, self._store = url, store

    def of(self, product: str) -> TableRecord:
        return TableRecord(self, product)

    def records(self) -> dict[str, Record]:
        """Of every product that has one. Raises StoreError."""
        with self.opened() as store, store.read() as connection:
            rows = connection.execute(select(catalog).order_by(_t.product, _t.id)).all()
        return {name: record_of(map(_entry, group)) for name, group in groupby(rows, lambda row: str(row.product))}

    def stamps(self) -> dict[str, int]:
        """Product -> the number of its newest change. Raises StoreError."""
        newest = select(_t.product, func.max(_t.id)).group_by(_t.product)
        with self.opened() as store, store.read() as connection:
            return {row[0]: row[1] for row in connection.execute(newest)}

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    @contextmanager
    def opened(self) -> Iterator[Store]:
        if self._store is not None:
            yield self._store
            return
        store = open_store(self._url)
        try:
            yield store
        finally:
            store.close()


class TableRecord:
    """A `Kept`: one product's rows of the catalog. Changes of one product wait for each other."""

    def __init__(self, registry: Registry, product: str) -> None:
        self._registry, self._product = registry, product

    @property
    def where(self) -> str:
        return f"{self._registry.where}, {self._product}"

    def read(self) -> Record:
        with self._registry.opened() as store, store.read() as connection:
            return self._read(connection)

    def change(self, entry: Deployment, holds: Holds = always) -> bool:
        with self._registry.opened() as store, store.write() as connection:
            store.turn(connection, self._product)
            before = self._read(connection)
            if not holds(before):
                return False
            self._write(connection, entry, before, before.after(entry))
        return True

    def count(self, era: str, more: Mapping[str, Counts]) -> Mapping[str, Counts] | None:
        if not more:
            with self._registry.opened() as store, store.read() as connection:
                return self._tally(connection).of(era) if self._era(connection) == era else None
        with self._registry.opened() as store, store.write() as connection:
            store.turn(connection, self._product)
            if self._era(connection) != era:
                return None
            sums = added(self._tally(connection).of(era), more)
            row = {"product": self._product, "tally": msgspec.to_builtins(tallied(era, sums), str_keys=True)}
            if not store.insert_new(connection, traffic, row):
                connection.execute(update(traffic).where(traffic.c.product == self._product).values(row))
        return sums

    def _read(self, connection: Connection) -> Record:
        rows = connection.execute(select(catalog).where(_t.product == self._product).order_by(_t.id))
        return record_of(map(_entry, rows))

    def _era(self, connection: Connection) -> str:
        own = select(_t.created).where(_t.product == self._product).order_by(_t.id)
        changes = connection.execute(own).scalars().all()
        return era(len(changes), _text(changes[-1])) if changes else ""

    def _tally(self, connection: Connection) -> Tally:
        own = select(traffic.c.tally).where(traffic.c.product == self._product)
        found = connection.execute(own).scalar_one_or_none()
        return msgspec.convert(found, Tally, strict=False) if found is not None else Tally()

    def _write(self, connection: Connection, entry: Deployment, before: Record, after: Record) -> None:
        when = datetime.fromisoformat(entry.when)
        roles: tuple[Role, ...] = get_args(Role)
        over = [role for role in roles if role == entry.role or before.holder(role) != after.holder(role)]
        if entry.switches:  # nothing takes a role by it, and nothing leaves one
            connection.execute(catalog.insert().values(product=self._product, ended=when, **_values(entry)))
            return
        held = _t.product == self._product, _t.role.in_(over), _t.ended.is_(None)
        connection.execute(update(catalog).where(*held).values(ended=when))
        connection.execute(catalog.insert().values(product=self._product, ended=when if entry.ends else None, **_values(entry)))


def _values(entry: Deployment) -> dict[str, Any]:
    return {
        "version": entry.version,
        "digest": entry.digest,
        "role": entry.role,
        "share": 100.0 if entry.share is None else round(entry.share * 100, 9),
        "created": datetime.fromisoformat(entry.when),
        "who": entry.who[:120],
        "reason": entry.reason[:_LONGEST],
        "how": entry.how,
        "passed": entry.passed,
        "figures": entry.figures,
    }


def _entry(row: Row[Any]) -> Deployment:
    deployed = row.how == "deploy"
    return Deployment(
        when=_text(row.created),
        who=row.who,
        version=row.version,
        passed=row.passed,
        override=deployed and not row.passed,
        reason=row.reason,
        role=row.role,
        how=row.how,
        share=row.share / 100 if deployed and row.role == "canary" else None,
        figures=row.figures,
        digest=row.digest,
    )


def _text(when: datetime) -> str:
    return when.isoformat(timespec="seconds")
