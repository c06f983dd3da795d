from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

from trunkline.store.database import Store
from trunkline.store.jobs import (
    Job,
    Lease,
    Progress,
    add_job,
    cancel_job,
    drop_job,
    drop_old,
    end_job,
    find_job,
    job_waits,
    keep_job,
    list_jobs,
    renew_job,
    return_job,
    size_job,
    take_job,
)

HERE = "here"


def added(
    store: Store, now: datetime, kind: str = "bulk", organisation: str = "acme", place: str = HERE, most: int = 100
) -> Job:
    job = Job(
        kind=kind, product="客服", organisation=organisation, owner="app", request={"file": "行.csv"}, created=now, place=place
    )
    assert add_job(store, job, most)
    return job


def taken(store: Store, now: datetime, holder: str = "w", seconds: float = 60, place: str = HERE) -> Job | None:
    return take_job(store, "bulk", place, holder, now, seconds)


def lease(job: Job, holder: str = "w") -> Lease:
    return Lease(job.id, holder, 60)


def rows(count: int) -> Progress:
    return Progress(count, 2, 1.5, [("a", count * 10)])


def found(store: Store, job: Job) -> Job:
    known = find_job(store, job.id)
    assert known is not None
    return known


def state(store: Store, job: Job) -> tuple[str, int, str | None]:
    known = found(store, job)
    return known.state, known.progress, known.holder


def test_a_job_comes_back_as_it_was_written(store: Store, now: datetime) -> None:
    job = added(store, now)
    assert find_job(store, job.id) == replace(job, parts=[])
    assert find_job(store, "other") is None


def test_the_oldest_of_its_kind_and_place_is_taken_first_and_once(store: Store, now: datetime) -> None:
    second = added(store, now + timedelta(seconds=1))
    first = added(store, now)
    added(store, now - timedelta(days=1), kind="other")
    added(store, now - timedelta(days=1), place="elsewhere")
    assert job_waits(store, "bulk", HERE, now, 60)
    jobs = [taken(store, now, f"w{n}") for n in range(3)]
    assert [job and job.id for job in jobs] == [first.id, second.id, None]
    assert jobs[0] is not None
    assert (jobs[0].state, jobs[0].holder, jobs[0].lease) == ("running", "w0", now + timedelta(seconds=60))
    assert (jobs[0].tries, jobs[0].turn) == (1, now)
    assert not job_waits(store, "bulk", HERE, now, 60)


def test_organisations_take_turns_and_then_their_jobs(store: Store, now: datetime) -> None:
    flood = [added(store, now + timedelta(seconds=n)) for n in range(3)]
    other = added(store, now + timedelta(seconds=9), organisation="other")
    order = []
    for n in range(8):
        at = now + timedelta(minutes=n)
        job = taken(store, at)
        assert job is not None
        order.append(job.id)
        assert return_job(store, lease(job), at)
    a, b, c = (job.id for job in flood)
    assert order == [a, other.id, b, other.id, c, other.id, a, other.id]


def test_a_dead_worker_is_followed_by_another_from_where_it_was(store: Store, now: datetime) -> None:
    job = added(store, now)
    taken(store, now, "dead")
    assert keep_job(store, lease(job, "dead"), rows(500), now + timedelta(seconds=30))
    assert taken(store, now + timedelta(seconds=89), "next") is None
    after = taken(store, now + timedelta(seconds=91), "next")
    assert after is not None
    assert (after.id, after.progress, after.holder, after.tries) == (job.id, 500, "next", 1)
    assert (after.errors, after.seconds, after.parts) == (2, 1.5, [("a", 5000)])
    late = now + timedelta(seconds=92)
    assert not keep_job(store, lease(job, "dead"), rows(600), late)
    assert not renew_job(store, lease(job, "dead"), late)
    assert not size_job(store, lease(job, "dead"), 9, {}, late)
    assert not return_job(store, lease(job, "dead"), late)
    assert not end_job(store, lease(job, "dead"), "done", late)
    assert state(store, job) == ("running", 500, "next")


def test_a_lease_is_renewed_without_progress(store: Store, now: datetime) -> None:
    job = added(store, now)
    taken(store, now)
    assert renew_job(store, lease(job), now + timedelta(seconds=50))
    assert taken(store, now + timedelta(seconds=109), "next") is None


def test_a_clock_that_was_set_back_holds_no_job_up(store: Store, now: datetime) -> None:
    job = added(store, now)
    taken(store, now, "dead")
    after = taken(store, now - timedelta(hours=1), "next")
    assert after is not None
    assert after.id == job.id


def test_tries_count_only_while_nothing_comes_of_them(store: Store, now: datetime) -> None:
    job = added(store, now)
    for n in range(3):
        at = now + timedelta(minutes=2 * n)
        again = taken(store, at, f"w{n}")
        assert again is not None
        assert again.tries == n + 1
    assert size_job(store, lease(job, "w2"), 7, {"file": "行.csv", "encoding": "gbk"}, at)
    known = found(store, job)
    assert (known.tries, known.total, known.request["encoding"]) == (0, 7, "gbk")


def test_a_job_that_is_given_back_is_free_at_once(store: Store, now: datetime) -> None:
    job = added(store, now)
    taken(store, now)
    assert return_job(store, lease(job), now)
    assert (state(store, job), found(store, job).tries) == (("queued", 0, None), 0)
    assert taken(store, now, "next") is not None


def test_the_holder_ends_it(store: Store, now: datetime) -> None:
    job = added(store, now)
    taken(store, now)
    assert found(store, job).open
    assert end_job(store, lease(job), "failed", now, {"行": 3})
    assert state(store, job) == ("failed", 0, None)
    known = found(store, job)
    assert (known.result, known.ended, known.open) == ({"行": 3}, now, False)
    assert taken(store, now + timedelta(days=1)) is None


def test_a_cancelled_job_stops_its_holder(store: Store, now: datetime) -> None:
    job = added(store, now)
    taken(store, now)
    assert cancel_job(store, job.id, now)
    assert not keep_job(store, lease(job), rows(1), now)
    assert not end_job(store, lease(job), "done", now)
    assert not cancel_job(store, job.id, now)
    assert state(store, job) == ("cancelled", 0, None)


def test_a_dropped_job_stops_its_holder_too(store: Store, now: datetime) -> None:
    job = added(store, now)
    taken(store, now)
    drop_job(store, job.id)
    assert not renew_job(store, lease(job), now)
    assert find_job(store, job.id) is None


def test_old_jobs_are_dropped_and_others_stay(store: Store, now: datetime) -> None:
    old, open_, elsewhere = added(store, now), added(store, now), added(store, now, place="elsewhere")
    for job in (old, elsewhere):
        cancel_job(store, job.id, now)
    drop_old(store, "bulk", HERE, now)
    assert find_job(store, old.id) is not None
    drop_old(store, "bulk", HERE, now + timedelta(seconds=1))
    assert [find_job(store, job.id) is None for job in (old, open_, elsewhere)] == [True, False, False]


def test_an_organisation_has_only_so_many_that_are_open(store: Store, now: datetime) -> None:
    first = added(store, now, most=2)
    added(store, now, most=2)
    third = replace(first, id="third")
    assert not add_job(store, third, 2)
    added(store, now, organisation="other", most=2)
    cancel_job(store, first.id, now)
    assert add_job(store, third, 2)


def test_an_organisation_sees_its_own(store: Store, now: datetime) -> None:
    first, second = added(store, now), added(store, now + timedelta(seconds=1))
    added(store, now, organisation="other")
    added(store, now, kind="other")
    assert [job.id for job in list_jobs(store, "bulk", "acme")] == [second.id, first.id]
    assert [job.id for job in list_jobs(store, "bulk", "acme", limit=1)] == [second.id]


def test_workers_at_once_take_each_job_once(store: Store, now: datetime) -> None:
    made = {added(store, now + timedelta(seconds=n)).id for n in range(8)}
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda n: taken(store, now, f"w{n}"), range(16)))
    ids = [job.id for job in jobs if job is not None]
    assert len(ids) == len(set(ids))
    assert set(ids) <= made
