from __future__ import annotations

import threading
import time

import pytest

from trunkline.engines.ahead import Ahead
from trunkline.engines.threads import run_all


def test_work_ahead_is_begun_by_a_free_thread() -> None:
    began, go = threading.Event(), threading.Event()

    def work() -> str:
        began.set()
        assert go.wait(10)
        return threading.current_thread().name

    with Ahead(work) as early:
        assert began.wait(10)  # while this thread is elsewhere
        go.set()
        assert early.result().startswith("compute")


def until_nobody_helps() -> None:
    for _ in range(1000):
        if not Ahead._helped:
            return
        time.sleep(0.01)
    pytest.fail("a thread helps without end")


def test_work_ahead_that_no_thread_began_is_done_by_who_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    until_nobody_helps()
    here, came = threading.current_thread().name, threading.Event()
    monkeypatch.setattr(Ahead, "_helped", True)  # every thread of the pool is busy
    with Ahead(lambda: threading.current_thread().name) as early:
        assert early.result() == here
    with Ahead(came.set):
        pass
    assert not Ahead._waiting  # nothing is kept of what nobody needs any longer
    assert not came.is_set()


def test_what_work_ahead_raises_comes_where_the_result_is_needed() -> None:
    began = threading.Event()

    def work() -> None:
        began.set()
        raise ValueError("wrong")

    with Ahead(work) as early:
        assert began.wait(10)
        with pytest.raises(ValueError, match="wrong"):
            early.result()


def test_work_ahead_inside_a_full_pool_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def outer(number: int) -> int:
        with Ahead(lambda: number * number) as early:
            return early.result()

    monkeypatch.setenv("TRUNKLINE_THREADS", "2")
    assert run_all(outer, range(200)) == [number * number for number in range(200)]
    until_nobody_helps()
    assert not Ahead._waiting
