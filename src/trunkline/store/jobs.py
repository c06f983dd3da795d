"""Long jobs. A worker leases one and renews the lease as it goes; the lease of a dead worker runs out and
another goes on from the progress that was written down. Who has lost its lease can write nothing more."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, exists, func, or_, select, update

from trunkline.store.database import Store
from trunkline.store.tables import jobs

State = Literal["queued", "running", "done", "failed", "cancelled"]
Part = tuple[str, int]  # the name of a file, and how many of its bytes count
_OPEN = ("queued", "running")
_FAR = 4  # a lease of so many times its length was written before the clock was set back
_t = jobs.c


@dataclass(frozen=True, kw_only=True)
class Job:
    """`progress`: rows that are answered for good, `errors` of them with an error, in `seconds` of work; their
    answers are in `parts`. `total`: rows there are, once that is known. `holder` works on it until `lease`.

    place: whose files it has; only workers of that place can do it. request: what a worker needs to know.
    tries: how often it was taken since it last came forward. turn: when it was last worked on.
    result: of a failed job, what went wrong.
    """

    kind: str
    product: str
    organisation: str
    owner: str
    request: dict[str, Any]
    created: datetime
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    place: str = ""
    state: State = "queued"
    total: int | None = None
    progress: int = 0
    errors: int = 0
    seconds: float = 0.0
    parts: Sequence[Part] = ()
    tries: int = 0
    turn: datetime | None = None
    holder: str | None = None
    lease: datetime | None = None
    ended: datetime | None = None
    result: dict[str, Any] | None = None

    @property
    def open(self) -> bool:
        """Neither done, failed nor cancelled."""
        return self.state in _OPEN


@dataclass(frozen=True)
class Lease:
    """A job in the hands of a worker, for `seconds` after it was last renewed."""

    id: str
    holder: str
    seconds: float


@dataclass(frozen=True)
class Progress:
    """All that is answered for good; see `Job`."""

    rows: int
    errors: int
    seconds: float
    parts: Sequence[Part]


def add_job(store: Store, job: Job, most: int) -> bool:
    """Queues a new job; False where its organisation has `most` that haven't ended. Raises StoreError."""
    with store.write() as connection:
        own = and_(_t.organisation == job.organisation, _t.kind == job.kind, _t.state.in_(_OPEN))
        if connection.execute(select(func.count()).where(own)).scalar_one() >= most:
            return False
        connection.execute(jobs.insert().values(vars(job)))
    return True


def find_job(store: Store, id_: str) -> Job | None:
    with store.read() as connection:
        row = connection.execute(select(jobs).where(_t.id == id_)).one_or_none()
    return None if row is None else _job(row)


def list_jobs(store: Store, kind: str, organisation: str, limit: int = 100) -> list[Job]:
    """An organisation's, the newest first."""
    own = select(jobs).where(_t.kind == kind, _t.organisation == organisation)
    with store.read() as connection:
        return [_job(row) for row in connection.execute(own.order_by(_t.created.desc(), _t.id).limit(limit))]


def job_waits(store: Store, kind: str, place: str, now: datetime, seconds: float) -> bool:
    """Whether `take_job` would find one. Raises StoreError."""
    with store.read() as connection:
        return bool(connection.execute(select(exists().where(_free(kind, place, now, seconds)))).scalar_one())


def take_job(store: Store, kind: str, place: str, holder: str, now: datetime, seconds: float) -> Job | None:
    """A job that nobody works on, leased to `holder`; None if there is none. Raises StoreError.

    First comes the organisation that was served longest ago, and of its jobs the one that was.
    """
    other = jobs.alias()
    served = select(func.max(other.c.turn)).where(
        other.c.organisation == _t.organisation, other.c.kind == kind, other.c.place == place
    )
    order = (served.correlate(jobs).scalar_subquery().nulls_first(), _t.turn.nulls_first(), _t.created, _t.id)
    first = select(_t.id).where(_free(kind, place, now, seconds)).order_by(*order).limit(1)
    with store.write() as connection:
        found = connection.execute(first.with_for_update(skip_locked=True, of=jobs)).scalar_one_or_none()
        return None if found is None else _leased(connection, found, holder, now, seconds)


def waiting_jobs(store: Store, kind: str, place: str, now: datetime, seconds: float) -> list[Job]:
    """Those that nobody works on, the oldest first. Raises StoreError."""
    with store.read() as connection:
        found = connection.execute(select(jobs).where(_free(kind, place, now, seconds)).order_by(_t.created, _t.id))
        return [_job(row) for row in found]


def take_this_job(store: Store, job: Job, holder: str, now: datetime, seconds: float) -> Job | None:
    """Of those that wait this one, leased to `holder`; None if it waits no longer. Raises StoreError."""
    this = select(_t.id).where(_t.id == job.id, _free(job.kind, job.place, now, seconds))
    with store.write() as connection:
        found = connection.execute(this.with_for_update(skip_locked=True)).scalar_one_or_none()
        return None if found is None else _leased(connection, found, holder, now, seconds)


def renew_job(store: Store, lease: Lease, now: datetime) -> bool:
    """False if the job is no longer the holder's, by a lease that ran out or by a cancel: stop. Raises StoreError."""
    return _change(store, lease, lease=_until(lease, now))


def keep_job(store: Store, lease: Lease, done: Progress, now: datetime) -> bool:
    """Writes progress down and renews the lease; False as in `renew_job`. Raises StoreError."""
    kept = {"progress": done.rows, "errors": done.errors, "seconds": done.seconds, "parts": list(done.parts)}
    return _change(store, lease, **kept, tries=0, lease=_until(lease, now))


def size_job(store: Store, lease: Lease, total: int, request: dict[str, Any], now: datetime) -> bool:
    """Writes down how many rows there are, and the request with what was found besides; False as in `renew_job`."""
    return _change(store, lease, total=total, request=request, tries=0, lease=_until(lease, now))


def end_job(
    store: Store, lease: Lease, state: Literal["done", "failed"], now: datetime, result: dict[str, Any] | None = None
) -> bool:
    """The holder's last word; False as in `renew_job`. Raises StoreError."""
    return _change(store, lease, state=state, result=result, ended=now, holder=None, lease=None)


def return_job(store: Store, lease: Lease, now: datetime) -> bool:
    """Puts a job back for whoever is free, at once and with nothing held against it. Raises StoreError."""
    return _change(store, lease, state="queued", turn=now, tries=0, holder=None, lease=None)


def cancel_job(store: Store, id_: str, now: datetime) -> bool:
    """Whoever works on it learns so when it next writes or renews. False if it had ended. Raises StoreError."""
    values = {"state": "cancelled", "ended": now, "holder": None, "lease": None}
    with store.write() as connection:
        return connection.execute(update(jobs).where(_t.id == id_, _t.state.in_(_OPEN)).values(values)).rowcount > 0


def reopen_job(store: Store, id_: str) -> bool:
    """Queues a job that failed or was cancelled once more. False for any other. Raises StoreError."""
    values = {"state": "queued", "ended": None, "result": None, "tries": 0}
    with store.write() as connection:
        ended = and_(_t.id == id_, _t.state.in_(("failed", "cancelled")))
        return connection.execute(update(jobs).where(ended).values(values)).rowcount > 0


def drop_job(store: Store, id_: str) -> None:
    """Forgets a job; one under way ends as if it were cancelled. Raises StoreError."""
    with store.write() as connection:
        connection.execute(delete(jobs).where(_t.id == id_))


def drop_old(store: Store, kind: str, place: str, before: datetime) -> None:
    """Forgets jobs of a place that ended before that. Raises StoreError."""
    with store.write() as connection:
        connection.execute(delete(jobs).where(_t.kind == kind, _t.place == place, _t.ended < before))


def _leased(connection: Connection, id_: str, holder: str, now: datetime, seconds: float) -> Job:
    lease = {"state": "running", "holder": holder, "lease": now + timedelta(seconds=seconds), "turn": now}
    connection.execute(update(jobs).where(_t.id == id_).values(**lease, tries=_t.tries + 1))
    return _job(connection.execute(select(jobs).where(_t.id == id_)).one())


def _free(kind: str, place: str, now: datetime, seconds: float) -> ColumnElement[bool]:
    far = now + timedelta(seconds=_FAR * seconds)
    left = and_(_t.state == "running", or_(_t.lease < now, _t.lease > far))
    return and_(_t.kind == kind, _t.place == place, or_(_t.state == "queued", left))


def _until(lease: Lease, now: datetime) -> datetime:
    return now + timedelta(seconds=lease.seconds)


def _change(store: Store, held: Lease, **values: Any) -> bool:
    still = and_(_t.id == held.id, _t.holder == held.holder, _t.state == "running")
    with store.write() as connection:
        return connection.execute(update(jobs).where(still).values(values)).rowcount > 0


def _job(row: Row[Any]) -> Job:
    found = dict(row._mapping)
    return Job(**{**found, "parts": [(name, size) for name, size in found["parts"]]})
