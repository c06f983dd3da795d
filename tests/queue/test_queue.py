"""The queue of trainings. A product whose rows are a pipe that nobody writes to is a training that takes for ever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner, Result

from trunkline.cli import main
from trunkline.errors import BusyError, TrunklineError
from trunkline.init import init_from_template
from trunkline.queue import runner as running
from trunkline.queue.runner import Limits, Runner
from trunkline.queue.waiting import Wanted, add, cancel, listed, log_of, resume

CORE = min(os.sched_getaffinity(0))
ROOM = Limits((CORE,), 8_000)


def want(folder: Path, *words: str, **limits: Any) -> str:
    id_: str = add(folder, Wanted(words=list(words), folder=str(folder), **limits))["id"]
    return id_


def state(folder: Path, id_: str) -> str:
    return str(job(folder, id_)["state"])


def job(folder: Path, id_: str) -> dict[str, Any]:
    return next(each for each in listed(folder) if each["id"] == id_)


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it took too long"
        time.sleep(0.05)


def endless(folder: Path, name: str) -> str:
    """A product that waits for its rows."""
    init_from_template(folder / name, "sample", "toxicity")
    (folder / name / "train.csv").unlink()
    os.mkfifo(folder / name / "train.csv")
    return name


@contextmanager
def at_work(folder: Path, limits: Limits = ROOM) -> Iterator[Runner]:
    """A runner in a thread of this process; on leaving it ends when nothing waits."""
    runner, faults = Runner(folder, limits, lambda line: None), list[BaseException]()

    def run() -> None:
        try:
            runner.run(until_empty=True)
        except BaseException as error:  # noqa: BLE001  raised below
            faults.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield runner
    finally:
        thread.join(90)
        assert not thread.is_alive()
    assert not faults, faults


@pytest.fixture
def hurried(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that don't stand back: beside the rest of a test run they would get hardly any of the machine."""
    script = tmp_path_factory.mktemp("child") / "hurried.py"
    script.write_text(
        "import sys\nfrom trunkline.queue import child\nchild.yield_to_others = lambda: None\nchild.main(*sys.argv[1:])\n", encoding="utf-8"
    )
    monkeypatch.setattr(running, "CHILD", (str(script),))


@pytest.mark.usefixtures("hurried")
def test_order_and_ends(tmp_path: Path) -> None:
    init_from_template(tmp_path / "good", "sample", "toxicity")
    for part in ("train", "test"):
        rows = (tmp_path / "good" / f"{part}.csv").read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / "good" / f"{part}.csv").write_text("".join(rows[:80]), encoding="utf-8")
    late, first, bad = want(tmp_path, "train", "good"), want(tmp_path, "train", "good", priority=1), want(tmp_path, "train", "nothing")
    assert [each["id"] for each in listed(tmp_path)] == [first, late, bad]
    begun: list[str] = []
    Runner(tmp_path, ROOM, begun.append).run(until_empty=True)
    assert [line[:8] for line in begun if "begins" in line] == [first[:8], late[:8], bad[:8]]
    assert [state(tmp_path, id_) for id_ in (first, late, bad)] == ["done", "done", "failed"]
    assert job(tmp_path, bad)["result"]["what"] == "there is no product here"
    assert "no product" in log_of(tmp_path, bad).read_text()
    assert job(tmp_path, first)["seconds"] > 0
    assert sorted(each.name for each in (tmp_path / "good" / "bundles").glob("v*")) == ["v1", "v2"]


def test_a_running_job_is_cancelled_and_resumed(tmp_path: Path) -> None:
    id_ = want(tmp_path, "train", endless(tmp_path, "slow"))
    with at_work(tmp_path) as runner:
        until(lambda: bool(runner.running))
        process = runner.running[0].process
        assert cancel(tmp_path, id_)["state"] == "cancelled"
        until(lambda: process.poll() is not None)
    assert state(tmp_path, id_) == "cancelled"
    assert resume(tmp_path, id_)["state"] == "queued"
    assert cancel(tmp_path, id_[:8])["state"] == "cancelled"
    with pytest.raises(TrunklineError, match="can't cancel"):
        cancel(tmp_path, id_)


def test_a_job_gets_its_cores_and_the_last_turn(tmp_path: Path) -> None:
    id_ = want(tmp_path, "train", endless(tmp_path, "slow"))
    with at_work(tmp_path) as runner:
        until(lambda: bool(runner.running))
        child = psutil.Process(runner.running[0].process.pid)
        until(lambda: child.cpu_affinity() == [CORE] and child.nice() == 19)
        assert os.sched_getscheduler(child.pid) == os.SCHED_IDLE
        assert child.environ()["TRUNKLINE_THREADS"] == "1"
        assert child.environ()["CUDA_VISIBLE_DEVICES"] == ""
        cancel(tmp_path, id_)


def test_jobs_never_share_a_core(tmp_path: Path) -> None:
    """And a large one that waits is not overtaken by small ones behind it."""
    one = want(tmp_path, "train", endless(tmp_path, "one"))
    large = want(tmp_path, "train", endless(tmp_path, "large"), memory_mb=7_000)
    small = want(tmp_path, "train", endless(tmp_path, "small"), memory_mb=100)
    with at_work(tmp_path, Limits((CORE, CORE + 1), 8_000)) as runner:
        until(lambda: bool(runner.running))
        time.sleep(4 * running.LOOK_SECONDS)
        assert [each.job.id for each in runner.running] == [one]
        cancel(tmp_path, one)
        until(lambda: {each.job.id for each in runner.running} == {large, small})
        assert [each.cores for each in runner.running] == [(CORE,), (CORE + 1,)]
        cancel(tmp_path, large)
        cancel(tmp_path, small)


def test_too_much_memory_ends_a_job(tmp_path: Path) -> None:
    id_ = want(tmp_path, "train", endless(tmp_path, "slow"), memory_mb=5)
    Runner(tmp_path, ROOM, lambda line: None).run(until_empty=True)
    found = job(tmp_path, id_)
    assert (found["state"], found["result"]["code"]) == ("failed", -signal.SIGKILL)
    assert "its limit is 5 MB" in found["result"]["what"]


def test_what_can_never_run_fails_at_once(tmp_path: Path) -> None:
    ids = [want(tmp_path, "train", "x", **limit) for limit in ({"cores": 2}, {"memory_mb": 9_000}, {"gpus": 1})]
    Runner(tmp_path, ROOM, lambda line: None).run(until_empty=True)
    assert [job(tmp_path, id_)["state"] for id_ in ids] == ["failed"] * 3
    assert "it wants more than there is" in job(tmp_path, ids[0])["result"]["what"]


def test_one_runner_a_folder(tmp_path: Path) -> None:
    id_ = want(tmp_path, "train", endless(tmp_path, "slow"))
    with at_work(tmp_path) as runner:
        until(lambda: bool(runner.running))
        with pytest.raises(BusyError, match="another process"):
            Runner(tmp_path, ROOM, lambda line: None).run(until_empty=True)
        cancel(tmp_path, id_)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_runner_that_ends_takes_its_jobs_and_the_next_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    id_ = want(tmp_path, "train", endless(tmp_path, "slow"))
    process = subprocess.Popen([sys.executable, "-m", "trunkline", "queue", "run", "--at", str(tmp_path)], stderr=subprocess.PIPE)
    try:
        until(lambda: state(tmp_path, id_) == "running")
        child = psutil.Process(process.pid).children()[0]
        until(lambda: child.nice() == 19)  # so it has asked the kernel to end with its runner
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert (b"goes back to the queue" in said) == (number != signal.SIGKILL)
    with at_work(tmp_path) as runner:
        until(lambda: bool(runner.running))
        assert runner.running[0].job.id == id_
        assert job(tmp_path, id_)["state"] == "running"
        cancel(tmp_path, id_)


def test_a_job_that_kills_its_runners_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trunkline.queue.waiting import KIND, opened
    from trunkline.store.jobs import take_job

    id_ = want(tmp_path, "train", "x")
    with opened(tmp_path, None) as (place, store):
        for _ in range(running.TRIES):  # taken, and its lease is over at once
            assert take_job(store, KIND, place.marked(), "gone", datetime.now(UTC), -1)
    Runner(tmp_path, ROOM, lambda line: None).run(until_empty=True)
    assert "runner died" in job(tmp_path, id_)["result"]["what"]


def said(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["queue", words[0], "--at", str(folder), *words[1:]])


def test_the_commands(tmp_path: Path) -> None:
    assert said(tmp_path, "list").stdout == "nothing waits\n"
    shop = tmp_path / "shop"
    init_from_template(shop, "shop", "toxicity")
    made = json.loads(said(tmp_path, "add", "--json", "--cores", "2", "--memory", "1.5", "--priority", "-3", "train", str(shop), "--json").stdout)
    assert made["command"] == f"train {shop} --json"
    assert (made["cores"], made["memory_mb"], made["priority"]) == (2, 1_500, -3)
    assert said(tmp_path, "list").stdout.split()[:5] == [made["id"][:8], "waits", "-3", "2", "cores"]
    assert "cancelled" in said(tmp_path, "cancel", made["id"][:8]).stdout
    assert "waits" in said(tmp_path, "resume", made["id"][:8]).stdout
    assert said(tmp_path, "log", made["id"][:8]).stdout == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["add", "serve", "x"], "found serve, wanted train | tune | shrink | pretrain"),
        (["add", "train", "x", "--nothing"], "no such option"),
        (["add", "train", "nowhere"], "there is no product here"),
        (["add", "--cores", "0", "train", "x"], "--cores"),
        (["cancel", "abc"], "no job has this id"),
    ],
)
def test_mistakes_are_told_at_once(tmp_path: Path, words: list[str], told: str) -> None:
    done = said(tmp_path, *words)
    assert done.exit_code == 2
    assert told in done.output
    assert listed(tmp_path) == []


def test_no_folder(tmp_path: Path) -> None:
    assert "this is no folder" in said(tmp_path / "none", "list").output
