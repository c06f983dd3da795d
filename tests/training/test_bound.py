"""Processes that end with whoever started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from trunkline.init import init_from_template

ROOT = Path(__file__).parents[2]
WAIT = 120.0  # seconds, on a machine that is busy with other things
PARENT = (
    "import os, subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, '-m', 'trunkline.training.bound', str(os.getpid()), 'asyncio'], stdin=subprocess.PIPE)\n"
    "print(child.pid, flush=True)\n"
    "child.wait()\n"
)


def until(true: Callable[[], bool], seconds: float = WAIT) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it took too long"
        time.sleep(0.05)


def gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def bound(process: psutil.Process) -> bool:
    """Does it run its module already?"""
    try:
        return "libffi" in {Path(each.path).name.split(".")[0] for each in process.memory_maps()}
    except psutil.NoSuchProcess:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_bound_process_ends_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        until(lambda: bound(child))
        parent.kill()
        until(lambda: gone(child))


def test_one_whose_parent_is_gone_already_does_nothing() -> None:
    done = subprocess.run([sys.executable, "-m", "trunkline.training.bound", "1", "this"], capture_output=True, text=True, cwd=ROOT / "src", check=False)
    assert (done.returncode, done.stdout) == (1, "")


@contextmanager
def two_processes(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """`train --processes 2` of a product that waits for its rows for ever: the command, torchrun and its workers."""
    init_from_template(folder / "slow", "slow", "toxicity")
    (folder / "slow" / "train.csv").unlink()
    os.mkfifo(folder / "slow" / "train.csv")
    command = [sys.executable, "-m", "trunkline", "train", str(folder / "slow"), "--processes", "2"]
    heard = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # a background shell has it ignored
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TRUNKLINE_CACHE": str(folder / "cache")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env, preexec_fn=heard) as process:
        own = psutil.Process(process.pid)
        until(lambda: (folder / "slow" / ".trunkline" / ".lock.json").exists() or process.poll() is not None)
        started = own.children(recursive=True)
        try:
            yield process, started
        finally:
            process.kill()
            for each in started:
                if not gone(each):
                    each.kill()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_no_worker_learns_on_after_the_command_was_killed(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    with two_processes(tmp_path) as (process, started):
        assert len(started) == 3
        process.kill()
        until(lambda: all(map(gone, started)))


@pytest.mark.slow
def test_ctrl_c_is_told_once_and_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    with two_processes(tmp_path) as (process, started):
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(WAIT) == 130
        assert said.strip() == "stopped; the last good state is untouched"
        until(lambda: all(map(gone, started)))
