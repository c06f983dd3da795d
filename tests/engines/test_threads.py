from __future__ import annotations

import os
import subprocess
import sys
import threading

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


def test_work_inside_the_pool_runs_inline(monkeypatch: pytest.MonkeyPatch) -> None:
    def outer(_: int) -> set[str]:
        return set(run_all(lambda _: threading.current_thread().name, range(4)))

    monkeypatch.setenv("TRUNKLINE_THREADS", "2")
    assert all(len(names) == 1 for names in run_all(outer, range(4)))
