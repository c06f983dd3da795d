from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from trunkline.store.database import Store
from trunkline.store.jobs import Job, add_job, cancel_job, end_job, find_job, keep_job, list_jobs, take_job


def added(store: Store, now: datetime, kind: str = "bulk", organisation: str = "acme") -> Job:
    return add_job(store, kind, "客服", organisation, "app", {"file": "行.csv"}, now)


def state(store: Store, job: Job) -> tuple[str, int, str | None]:
    found = find_job(store, job.id)
    assert found is not None
    return found.state, found.progress, found.holder


def test_a_job_comes_back_as_it_was_written(store: Store, now: datetime) -> None:
    job = added(store, now)
    assert find_job(store, job.id) == job
    assert find_job(store, "other") is None


def test_the_oldest_of_its_kind_is_taken_first_and_once(store: Store, now: datetime) -> None:
    second = added(store, now + timedelta(seconds=1))
    first = added(store, now)
    added(store, now - timedelta(days=1), kind="other")
    taken = [take_job(store, "bulk", f"w{n}", now, 60) for n in range(3)]
    assert [job and job.id for job in taken] == [first.id, second.id, None]
    assert taken[0] is not None
    assert (taken[0].state, taken[0].holder, taken[0].lease) == ("running", "w0", now + timedelta(seconds=60))


def test_a_dead_worker_is_followed_by_another_from_where_it_was(store: Store, now: datetime) -> None:
    job = added(store, now)
    take_job(store, "bulk", "dead", now, 60)
    assert keep_job(store, job.id, "dead", 500, now + timedelta(seconds=30), 60)
    assert take_job(store, "bulk", "next", now + timedelta(seconds=89), 60) is None
    taken = take_job(store, "bulk", "next", now + timedelta(seconds=91), 60)
    assert taken is not None
    assert (taken.id, taken.progress, taken.holder) == (job.id, 500, "next")
    assert not keep_job(store, job.id, "dead", 600, now + timedelta(seconds=92), 60)
    assert not end_job(store, job.id, "dead", "done", {"rows": 0})
    assert state(store, job) == ("running", 500, "next")


def test_the_holder_ends_it(store: Store, now: datetime) -> None:
    job = added(store, now)
    take_job(store, "bulk", "w", now, 60)
    assert end_job(store, job.id, "w", "done", {"行": 3})
    assert state(store, job) == ("done", 0, None)
    found = find_job(store, job.id)
    assert found is not None
    assert found.result == {"行": 3}
    assert take_job(store, "bulk", "w", now + timedelta(days=1), 60) is None


def test_a_cancelled_job_stops_its_holder(store: Store, now: datetime) -> None:
    job = added(store, now)
    take_job(store, "bulk", "w", now, 60)
    assert cancel_job(store, job.id)
    assert not keep_job(store, job.id, "w", 1, now, 60)
    assert not end_job(store, job.id, "w", "done", {})
    assert not cancel_job(store, job.id)
    assert state(store, job) == ("cancelled", 0, None)


def test_an_organisation_sees_its_own(store: Store, now: datetime) -> None:
    first, second = added(store, now), added(store, now + timedelta(seconds=1))
    added(store, now, organisation="other")
    assert [job.id for job in list_jobs(store, "acme")] == [second.id, first.id]
    assert [job.id for job in list_jobs(store, "acme", limit=1)] == [second.id]


def test_workers_at_once_take_each_job_once(store: Store, now: datetime) -> None:
    made = {added(store, now + timedelta(seconds=n)).id for n in range(8)}
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda n: take_job(store, "bulk", f"w{n}", now, 60), range(16)))
    ids = [job.id for job in taken if job is not None]
    assert len(ids) == len(set(ids))
    assert set(ids) <= made
