from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import func, select

from trunkline.store.database import Store, open_store
from trunkline.store.idempotency import KEPT, Claim, Conflict, Kept, Repeatable, claim, keep, release
from trunkline.store.tables import idempotency

CALL = Repeatable("acme", "app", "k1", b"\0" * 32)


def claimed(store: Store, now: datetime, call: Repeatable = CALL) -> Claim:
    found = claim(store, call, now, 60)
    assert isinstance(found, Claim)
    return found


def test_an_answer_is_kept_across_a_restart(url: str, store: Store, now: datetime) -> None:
    answer = Kept(200, '{"标签": 1}'.encode(), {"content-type": "application/json", "x-more": "1"})
    keep(store, claimed(store, now), answer)
    store.close()
    again = open_store(url)
    assert claim(again, CALL, now, 60) == answer
    again.close()


def test_meanwhile_the_call_is_running(store: Store, now: datetime) -> None:
    claimed(store, now)
    assert claim(store, CALL, now + timedelta(seconds=59), 60) is Conflict.RUNNING


def test_the_key_of_another_call(store: Store, now: datetime) -> None:
    held = claimed(store, now)
    other = replace(CALL, digest=b"\1" * 32)
    assert claim(store, other, now, 60) is Conflict.OTHER
    keep(store, held, Kept(200, b"a", {}))
    assert claim(store, other, now, 60) is Conflict.OTHER


def test_keys_of_other_callers_are_other_keys(store: Store, now: datetime) -> None:
    claimed(store, now)
    claimed(store, now, replace(CALL, caller="other"))
    claimed(store, now, replace(CALL, organisation="other"))
    claimed(store, now, replace(CALL, key="k2"))


def test_a_released_call_may_be_sent_again(store: Store, now: datetime) -> None:
    release(store, claimed(store, now))
    claimed(store, now)


def test_a_dead_claim_is_taken_over_and_its_late_answer_is_nobodys(store: Store, now: datetime) -> None:
    dead = claimed(store, now)
    later = now + timedelta(seconds=60)
    alive = claimed(store, later)
    keep(store, dead, Kept(200, b"late", {}))
    release(store, dead)
    assert claim(store, CALL, later, 60) is Conflict.RUNNING
    keep(store, alive, Kept(200, b"right", {"a": "b"}))
    keep(store, dead, Kept(200, b"late", {}))
    assert claim(store, CALL, later, 60) == Kept(200, b"right", {"a": "b"})


def test_a_clock_that_was_set_back_leaves_no_claim_for_longer(store: Store, now: datetime) -> None:
    """Who holds it can't be known any more; at worst the call is computed twice, and one answer kept."""
    first = claimed(store, now)
    second = claimed(store, now - timedelta(hours=1))
    keep(store, first, Kept(200, b"first", {"a": "b"}))
    keep(store, second, Kept(200, b"second", {"a": "b"}))
    assert claim(store, CALL, now - timedelta(hours=1), 60) == Kept(200, b"second", {"a": "b"})


def test_after_a_day_a_key_is_new(store: Store, now: datetime) -> None:
    keep(store, claimed(store, now), Kept(200, b"a", {"a": "b"}))
    assert claim(store, CALL, now + KEPT, 60) == Kept(200, b"a", {"a": "b"})
    claimed(store, now + KEPT + timedelta(seconds=1))


def test_old_records_are_swept_away(store: Store, now: datetime) -> None:
    for n in range(5):
        claimed(store, now, replace(CALL, key=f"old{n}"))
    claimed(store, now + KEPT + timedelta(seconds=1))
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(idempotency)).scalar_one() == 1


def test_of_many_at_once_one_gets_the_claim(store: Store, now: datetime) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: claim(store, CALL, now, 60), range(16)))
    assert sum(isinstance(one, Claim) for one in found) == 1
    assert sum(one is Conflict.RUNNING for one in found) == 15


def test_of_many_at_once_one_takes_a_dead_claim_over(store: Store, now: datetime) -> None:
    claimed(store, now)
    later = now + timedelta(seconds=61)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: claim(store, CALL, later, 60), range(16)))
    assert sum(isinstance(one, Claim) for one in found) == 1
