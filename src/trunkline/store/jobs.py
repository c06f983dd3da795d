"""Long jobs. A worker leases one and renews the lease as it goes; the lease of a dead worker runs out and
another goes on from the progress that was written down."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Row, and_, or_, select, update

from trunkline.store.database import Store
from trunkline.store.tables import jobs

State = Literal["queued", "running", "done", "failed", "cancelled"]
_t = jobs.c


@dataclass(frozen=True)
class Job:
    """`progress`: rows that are answered for good. `holder` works on it until `lease`."""

    id: str
    kind: str
    product: str
    organisation: str
    owner: str
    request: dict[str, Any]
    state: State
    progress: int
    holder: str | None
    lease: datetime | None
    result: dict[str, Any] | None
    created: datetime


def add_job(
    store: Store, kind: str, product: str, organisation: str, owner: str, request: dict[str, Any], now: datetime
) -> Job:
    """A new job, queued. `request`: JSON that a worker needs to do it. Raises StoreError."""
    job = Job(
        secrets.token_hex(16), kind, product, organisation, owner, request, "queued", 0, None, None, None, now
    )
    with store.write() as connection:
        connection.execute(jobs.insert().values(vars(job)))
    return job


def find_job(store: Store, id_: str) -> Job | None:
    with store.read() as connection:
        row = connection.execute(select(jobs).where(_t.id == id_)).one_or_none()
    return None if row is None else _job(row)


def list_jobs(store: Store, organisation: str, limit: int = 100) -> list[Job]:
    """An organisation's, the newest first."""
    own = select(jobs).where(_t.organisation == organisation).order_by(_t.created.desc(), _t.id).limit(limit)
    with store.read() as connection:
        return [_job(row) for row in connection.execute(own)]


def take_job(store: Store, kind: str, holder: str, now: datetime, seconds: float) -> Job | None:
    """The oldest job that nobody works on, leased to `holder`; None if there is none. Raises StoreError."""
    free = or_(_t.state == "queued", and_(_t.state == "running", _t.lease < now))
    oldest = select(_t.id).where(_t.kind == kind, free).order_by(_t.created, _t.id).limit(1)
    with store.write() as connection:
        found = connection.execute(oldest.with_for_update(skip_locked=True)).scalar_one_or_none()
        if found is None:
            return None
        lease = {"state": "running", "holder": holder, "lease": now + timedelta(seconds=seconds)}
        connection.execute(update(jobs).where(_t.id == found).values(lease))
        return _job(connection.execute(select(jobs).where(_t.id == found)).one())


def keep_job(store: Store, id_: str, holder: str, progress: int, now: datetime, seconds: float) -> bool:
    """Writes progress down and renews the lease. False if it is no longer the holder's: stop. Raises StoreError."""
    return _change(store, id_, _held(holder), progress=progress, lease=now + timedelta(seconds=seconds))


def end_job(
    store: Store, id_: str, holder: str, state: Literal["done", "failed"], result: dict[str, Any]
) -> bool:
    """The holder's last word; False if the job is no longer the holder's. Raises StoreError."""
    return _change(store, id_, _held(holder), state=state, result=result, holder=None, lease=None)


def cancel_job(store: Store, id_: str) -> bool:
    """Whoever works on it learns so at the next `keep_job`. False if it had ended. Raises StoreError."""
    return _change(store, id_, _t.state.in_(("queued", "running")), state="cancelled", holder=None, lease=None)


def _held(holder: str) -> ColumnElement[bool]:
    return and_(_t.holder == holder, _t.state == "running")


def _change(store: Store, id_: str, where: ColumnElement[bool], **values: Any) -> bool:
    with store.write() as connection:
        return connection.execute(update(jobs).where(_t.id == id_, where).values(values)).rowcount > 0


def _job(row: Row[Any]) -> Job:
    return Job(**row._mapping)
