"""What counts of a job's answers, whatever breaks between; the sweep; who gives up when."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.serve.jobs.made import csv_rows
from tests.serve.parts import make_product

from trunkline.serve.app import Server
from trunkline.serve.jobs import ledger, runner, work
from trunkline.serve.jobs.ledger import Chunk, Ledger, LostError
from trunkline.serve.jobs.place import KEPT, KIND, Place, pieces
from trunkline.serve.jobs.rows import CSV
from trunkline.serve.jobs.runner import Runner
from trunkline.serve.limits import Limits
from trunkline.serve.live import LiveCatalog
from trunkline.store import jobs as stored
from trunkline.store.database import Store, open_store
from trunkline.store.jobs import Job, Lease, add_job, cancel_job, end_job, find_job, take_job
from trunkline.store.place import StoreError

NOW = datetime.now(UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


@pytest.fixture
def place(tmp_path: Path, store: Store) -> Place:
    return Place(tmp_path / "products", store)


@pytest.fixture
def server(tmp_path: Path, place: Place) -> Server:
    make_product(tmp_path / "products", "support")
    return Server(LiveCatalog(tmp_path / "products"), Limits())


def added(place: Place, store: Store, count: int = 200, digest: str = "") -> Job:
    told = {"media": CSV, "encoding": None, "top": 5, "version": "v1", "digest": digest}
    job = Job(
        kind=KIND, product="support", organisation="acme", owner="app", request=dict(told), created=NOW,
        place=place.marked(),
    )  # fmt: skip
    place.folder(job.id).mkdir()
    place.rows(job.id).write_bytes(csv_rows(count))
    assert add_job(store, job, 100)
    return job


def taken(place: Place, store: Store, holder: str) -> tuple[Job, Lease]:
    """Whoever holds it is taken to be dead."""
    job = take_job(store, KIND, place.marked(), holder, NOW + timedelta(days=1), 60) or take_job(
        store, KIND, place.marked(), holder, NOW + timedelta(days=2), 60
    )
    assert job is not None
    return job, Lease(job.id, holder, 60)


def found(store: Store, job: Job) -> Job:
    known = find_job(store, job.id)
    assert known is not None
    return known


def chunk(start: int, count: int) -> Chunk:
    return Chunk(b"".join(b"%d\n" % n for n in range(start, start + count)), count, 0)


def play(one: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(one)


def test_what_was_written_but_not_noted_counts_for_nothing(
    place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(place, store)
    job, lease = taken(place, store, "first")
    book = Ledger(place, store, job, lease)

    async def first() -> None:
        book.add(chunk(0, 10))
        await book.keep()
        book.add(chunk(10, 10))
        with monkeypatch.context() as patch:
            patch.setattr(stored, "keep_job", broken)
            with pytest.raises(StoreError):
                await book.keep()

    def broken(*_: Any) -> bool:
        raise StoreError("the power went")

    play(first())
    assert (place.folder(job.id) / "first").stat().st_size > 20
    job, lease = taken(place, store, "second")
    assert job.progress == 10

    async def second() -> None:
        other = Ledger(place, store, job, lease)
        other.add(chunk(10, 5))
        await other.keep()
        book.add(chunk(20, 10))  # the first was only paused, and knows nothing of it
        with pytest.raises(LostError):
            await book.keep()
        other.add(chunk(15, 5))
        await other.close()

    play(second())
    assert b"".join(pieces(place, found(store, job), size=7)) == b"".join(b"%d\n" % n for n in range(20))


def test_a_cancel_in_the_middle_of_keeping_keeps_once(
    place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(place, store)
    job, lease = taken(place, store, "w")
    book = Ledger(place, store, job, lease)
    append = book._append

    async def run() -> None:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow(lines: bytes) -> int:
            loop.call_soon_threadsafe(begun.set)
            size = append(lines)
            time.sleep(0.2)
            return size

        monkeypatch.setattr(book, "_append", slow)
        book.add(chunk(0, 10))
        keeping = asyncio.create_task(book.keep())
        await begun.wait()
        book.add(chunk(10, 10))
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
        await book.close()

    play(run())
    known = found(store, job)
    assert known.progress == 20
    assert b"".join(pieces(place, known)) == b"".join(b"%d\n" % n for n in range(20))


def test_an_answer_file_that_is_short_is_an_error(place: Place, store: Store) -> None:
    added(place, store)
    job, lease = taken(place, store, "w")
    book = Ledger(place, store, job, lease)
    book.add(chunk(0, 10))
    play(book.keep())
    os.truncate(place.folder(job.id) / "w", 5)
    with pytest.raises(OSError, match="ends 15 bytes early"):
        list(pieces(place, found(store, job)))


def run_until(server: Server, place: Place, true: Callable[[], bool]) -> None:
    """The runner, until that is so."""

    async def run() -> None:
        task = asyncio.create_task(Runner(server, place).run())
        async with asyncio.timeout(20):
            while not true():
                await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait({task})

    play(run())


def digest(server: Server) -> str:
    return server.catalog.products["support"].bundle.manifest.digest.answers


def test_a_full_disk_fails_no_job(
    server: Server, place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "TROUBLE_SECONDS", 0.05)
    job = added(place, store, digest=digest(server))
    append, times = Ledger._append, 0

    def full(self: Ledger, lines: bytes) -> int:
        nonlocal times
        times += 1
        if times < 4:
            self._part.write_bytes(lines[:100])  # as far as it came
            raise OSError(28, "No space left on device")
        return append(self, lines)

    monkeypatch.setattr(Ledger, "_append", full)
    run_until(server, place, lambda: not found(store, job).open)
    known = found(store, job)
    assert (known.state, known.progress, times) == ("done", 200, 4)
    assert len(list(pieces(place, known))) == 1


def test_a_store_that_is_away_for_a_moment_fails_no_job(
    server: Server, place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "TROUBLE_SECONDS", 0.05)
    monkeypatch.setattr(runner, "LEASE_SECONDS", 0.5)
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(ledger, "KEEP_SECONDS", 0.0)
    job = added(place, store, digest=digest(server))
    keep, times = stored.keep_job, 0

    def away(*args: Any) -> bool:
        nonlocal times
        times += 1
        if times == 2:
            raise StoreError("the store can't be read or written")
        return keep(*args)

    monkeypatch.setattr(stored, "keep_job", away)
    run_until(server, place, lambda: not found(store, job).open)
    known = found(store, job)
    assert (known.state, known.progress) == ("done", 200)
    assert b"".join(pieces(place, known)).count(b"\n") == 200
    assert len(known.parts) == 2


def test_a_job_that_keeps_killing_its_process_is_given_up(server: Server, place: Place, store: Store) -> None:
    job = added(place, store, digest=digest(server))
    for n in range(runner.MOST_TRIES):
        at = NOW - timedelta(days=9 - n)
        assert take_job(store, KIND, place.marked(), f"dead{n}", at, 60) is not None
    run_until(server, place, lambda: not found(store, job).open)
    known = found(store, job)
    assert known.state == "failed"
    assert known.result is not None
    assert "died 3 times" in known.result["what"]


def test_who_learns_late_that_a_job_was_cancelled_leaves_no_files(
    server: Server, place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "KEEP_SECONDS", 0.0)
    job = added(place, store, digest=digest(server))
    append = Ledger._append

    def late(self: Ledger, lines: bytes) -> int:
        cancel_job(store, job.id, NOW)
        place.drop(job.id)
        place.folder(job.id).mkdir()
        return append(self, lines)

    monkeypatch.setattr(Ledger, "_append", late)
    run_until(server, place, lambda: not found(store, job).open and not place.folder(job.id).exists())
    assert found(store, job).progress == 0


def test_a_bug_fails_the_job_without_telling_what_a_row_held(
    server: Server, place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = added(place, store, digest=digest(server))

    def wrong(*_: Any) -> Any:
        raise RuntimeError("secret row")

    monkeypatch.setattr(work.Work, "_answered", wrong)
    run_until(server, place, lambda: not found(store, job).open)
    known = found(store, job)
    assert (known.state, known.result and known.result["what"]) == ("failed", "the server broke on this job")
    assert "secret" not in str(known.result)


def test_rows_that_break_the_program_say_so_and_not_what_they_held(
    server: Server, place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = added(place, store, digest=digest(server))

    async def wrong(*_: Any) -> Any:
        raise RuntimeError("secret row")

    monkeypatch.setattr(server.compute, "rows", wrong)
    run_until(server, place, lambda: not found(store, job).open)
    known = found(store, job)
    assert (known.state, known.errors) == ("done", known.progress)
    assert b"secret" not in b"".join(pieces(place, known))


def test_a_file_that_is_gone_fails_its_job(server: Server, place: Place, store: Store) -> None:
    job = added(place, store, digest=digest(server))
    place.rows(job.id).unlink()
    run_until(server, place, lambda: not found(store, job).open)
    assert found(store, job).state == "failed"


def test_live_calls_make_a_job_small(server: Server, place: Place, store: Store) -> None:
    job = added(place, store)
    one = work.Work(server, place, store, job, Lease(job.id, "w", 60))

    async def look() -> None:
        assert await one._room() == work.IDLE
        began = time.monotonic()
        with server.admission.place("acme"):
            assert await one._room() == work.LIVE
        assert time.monotonic() - began >= work.PATIENCE_SECONDS * 0.9
        began = time.monotonic()
        with server.admission.place("acme"):
            waiting = asyncio.create_task(one._room())
            await asyncio.sleep(0.01)
        assert await waiting == work.LIVE  # as soon as the call is answered
        assert time.monotonic() - began < work.PATIENCE_SECONDS * 0.9
        assert await one._room() == work.LIVE
        server.admission.last -= work.LIVE_SECONDS
        assert await one._room() == work.IDLE

    play(look())


def test_the_sweep_leaves_what_is_wanted(place: Place, store: Store) -> None:
    done = added(place, store).id
    taken(place, store, "w")
    cancelled, open_ = added(place, store).id, added(place, store).id
    for id_ in (done, open_):
        (place.folder(id_) / "w").write_bytes(b"0\n")
    end_job(store, Lease(done, "w", 60), "done", NOW)
    cancel_job(store, cancelled, NOW)
    for name, age in (("old", 2 * 3600), ("new", 0)):
        (place.home / name).mkdir()
        (place.home / f".upload-{name}").write_bytes(b"x")
        for path in (place.home / name, place.home / f".upload-{name}"):
            os.utime(path, (NOW.timestamp() - age,) * 2)
    place.sweep(store, place.marked(), NOW)
    left = sorted(str(path.relative_to(place.home)) for path in place.home.rglob("*"))
    assert left == sorted([".upload-new", "new", "place", done, f"{done}/w", open_, f"{open_}/rows", f"{open_}/w"])
    os.utime(place.folder(done), (0, 0))
    place.sweep(store, place.marked(), NOW + KEPT + timedelta(seconds=1))
    assert find_job(store, done) is None
    assert not place.folder(done).exists()
    assert find_job(store, open_) is not None
    assert place.rows(open_).exists()


def test_a_folder_is_named_once(place: Place, tmp_path: Path) -> None:
    assert place.mark() is None
    mark = place.marked()
    assert place.marked() == mark == Place(tmp_path / "products").mark()
    assert [file.name for file in place.home.iterdir()] == ["place"]
    assert place.home.stat().st_mode & 0o777 == 0o700
