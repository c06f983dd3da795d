"""Answers kept for a day, so that a call that is sent again is answered the same and computed once.

draft-ietf-httpapi-idempotency-key-header. A call claims its key, is computed, and leaves its answer. A claim
has an end, and ends at once with a process of this machine; then it is taken over. Only the holder of a claim can
leave an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from sqlalchemy import ColumnElement, Connection, and_, delete, select, update

from trunkline.store.database import Store
from trunkline.store.holder import holder_is_gone, new_mark
from trunkline.store.tables import idempotency

KEPT = timedelta(hours=24)
_SWEEP = 500  # old records that one claim removes at most, so that none holds the store up
_OLD_HEADERS = {"content-type": "application/json"}  # of answers that were kept without them
_t = idempotency.c


@dataclass(frozen=True)
class Repeatable:
    """What a call is known by: who sent it, under which key; the digest of all it says (32 bytes)."""

    organisation: str
    caller: str
    key: str
    digest: bytes


@dataclass(frozen=True)
class Claim:
    """The right, and the duty, to answer a call."""

    token: str


@dataclass(frozen=True)
class Kept:
    """The answer that the call had before."""

    status: int
    body: bytes
    headers: dict[str, str]


class Conflict(Enum):
    RUNNING = "the same call is being answered"
    OTHER = "the key was used for another call"


def claim(store: Store, call: Repeatable, now: datetime, seconds: float) -> Claim | Kept | Conflict:
    """The claim to a call, for so many seconds; or its kept answer; or why neither. Raises StoreError."""
    token = new_mark()
    until = now + timedelta(seconds=seconds)
    values = {**vars(call), "claim": token, "until": until, "created": now}
    with store.write() as connection:
        connection.execute(delete(idempotency).where(_named(call), _t.created < now - KEPT))
        if store.insert_new(connection, idempotency, values):
            _sweep(connection, now)
            return Claim(token)
        row = connection.execute(select(idempotency).where(_named(call)).with_for_update()).one_or_none()
        if row is None:  # the other has just given it up
            return Conflict.RUNNING
        if row.digest != call.digest:
            return Conflict.OTHER
        if row.status is not None:
            return Kept(row.status, row.body, row.headers or _OLD_HEADERS)
        if now < row.until <= until and not holder_is_gone(row.claim):  # an end beyond `until`: the clock was set back
            return Conflict.RUNNING
        connection.execute(update(idempotency).where(_t.id == row.id).values(claim=token, until=until))
    return Claim(token)


def keep(store: Store, held: Claim, answer: Kept) -> None:
    """Leaves the answer; nothing if the claim was taken over meanwhile. Raises StoreError."""
    with store.write() as connection:
        own = update(idempotency).where(_t.claim == held.token, _t.status.is_(None))
        connection.execute(own.values(vars(answer)))


def release(store: Store, held: Claim) -> None:
    """Gives a claim up without an answer: the call may be sent again. Raises StoreError."""
    with store.write() as connection:
        connection.execute(delete(idempotency).where(_t.claim == held.token, _t.status.is_(None)))


def _sweep(connection: Connection, now: datetime) -> None:
    """Some of the records that are over their time; none that another sweeps, or two could wait in a ring."""
    old = select(_t.id).where(_t.created < now - KEPT).order_by(_t.created).limit(_SWEEP)
    connection.execute(delete(idempotency).where(_t.id.in_(old.with_for_update(skip_locked=True))))


def _named(call: Repeatable) -> ColumnElement[bool]:
    return and_(_t.organisation == call.organisation, _t.caller == call.caller, _t.key == call.key)
