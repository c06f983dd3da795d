from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from trunkline.engines.threads import run_all, workers


def test_blas_gets_one_thread_before_numpy() -> None:
    code = (
        "from trunkline.engines.threads import limit_blas; import os, sys;"
        "assert limit_blas() and 'numpy' not in sys.modules;"
        "import numpy; assert os.environ['OPENBLAS_NUM_THREADS'] == '1'; assert not limit_blas()"
    )
    env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)


def test_workers_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_THREADS", "3")
    assert workers() == 3
    monkeypatch.setenv("TRUNKLINE_THREADS", "many")
    assert workers() >= 1


def test_fewer_threads_than_the_pool_has_do_all_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_THREADS", "4")
    lock, running, most = threading.Lock(), 0, 0

    def work(item: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1
        return item * item

    assert run_all(work, range(11), most=2) == [item * item for item in range(11)]
    assert most <= 2
    with pytest.raises(ZeroDivisionError):
        run_all(lambda item: 1 // (item - 5), range(11), most=2)


def test_work_inside_the_pool_runs_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    def outer(_: int) -> set[str]:
        return set(run_all(lambda _: threading.current_thread().name, range(4)))

    monkeypatch.setenv("TRUNKLINE_THREADS", "2")
    assert all(len(names) == 1 for names in run_all(outer, range(4)))
