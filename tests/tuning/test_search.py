"""The search as a founder runs it: processes, budgets, kills, locks, and what is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from tests.products import write_rows
from tests.tuning.products import again, ended, product, told

from trunkline.cli import main
from trunkline.commands import tune as tune_command
from trunkline.errors import BusyError, DataError, TrainError
from trunkline.features import Features
from trunkline.files import folder_lock
from trunkline.product import Product
from trunkline.proof.tuned import Tuned
from trunkline.tuning.found import FOLDER, last, used
from trunkline.tuning.search import Done
from trunkline.tuning.workers import Workers
from trunkline.types import Estimate

WAIT = 240.0  # seconds, on a machine that is busy with other things


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """What an unbroken search of the product finds."""
    return product(tmp_path_factory.mktemp("whole") / "p").tune(jobs=2).tuned


def test_every_trial_is_told_and_the_best_is_the_best(whole: Tuned) -> None:
    assert [trial.number for trial in whole.trials] == list(range(9))
    assert {trial.state for trial in whole.trials} <= {"done", "pruned"}
    assert whole.ranked[0].number == whole.best
    assert whole.rows == 90
    assert (whole.gain is None) == (whole.best == 0)
    assert {trial.choice.method for trial in whole.trials[1:]} == {"linear", "knn"}


def test_one_process_finds_what_two_find(whole: Tuned, tmp_path: Path) -> None:
    assert told(product(tmp_path / "p").tune(jobs=1).tuned) == told(whole)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_half_way_and_gone_on_with_it_finds_the_same(how: signal.Signals, whole: Tuned, tmp_path: Path) -> None:
    made = product(tmp_path / "p")
    command = [sys.executable, "-m", "trunkline", "tune", str(made.folder), "--jobs", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0) as process:
        until = time.monotonic() + WAIT
        while ended(made.folder) < 3 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(how)
        _, said = process.communicate(timeout=WAIT)
    done = ended(made.folder)
    assert 3 <= done < 9
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert f"go on: trunkline tune {made.folder}" in said.decode()
    assert last(made.folder) is None
    found = again(made).tune(jobs=2)
    assert found.ran == 9 - done
    assert told(found.tuned) == told(whole)
    assert again(made).tune(jobs=2).ran == 0  # all is done


def test_processes_go_when_their_parent_is_killed(tmp_path: Path) -> None:
    made = product(tmp_path / "p")
    command = [sys.executable, "-m", "trunkline", "tune", str(made.folder), "--jobs", "2", "--trials", "500"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0) as process:
        until = time.monotonic() + WAIT
        while ended(made.folder) < 2 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        children = _children(process.pid)
        process.kill()
        process.wait(WAIT)
    assert len(children) == 2
    while any(map(_alive, children)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(_alive, children))


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# ---- the test rows -------------------------------------------------------------------------------


def test_test_rows_that_can_not_be_read_are_never_read(whole: Tuned, tmp_path: Path) -> None:
    made = product(tmp_path / "p")
    (made.folder / "test.csv").write_bytes(b"\x00\xff not rows at all")
    with pytest.raises(DataError):
        again(made).validate()
    found = again(made).tune(jobs=1).tuned
    assert told(found) == told(whole)
    (made.folder / "test.csv").unlink()
    assert again(made).tune(jobs=1).ran == 0


def test_test_rows_among_the_others_are_let_go_of(tmp_path: Path) -> None:
    """The same rows with nonsense in place of the test part's labels: nothing changes."""
    from trunkline.data.read import read_examples, read_training
    from trunkline.tasks import TASKS

    made = product(tmp_path / "p")
    file = made.folder / "product.toml"
    file.write_text(file.read_text("utf-8").replace('data = { test = "test.csv" }\n', ""), "utf-8")
    spec, task = again(made).spec, TASKS.get("classify")()
    loaded = read_examples(spec, task, made.folder)
    examples, digest = read_training(spec, task, made.folder)
    assert examples.rows.tolist() == loaded.train.rows.tolist()
    lines = (made.folder / "train.csv").read_text("utf-8").splitlines()
    for row in loaded.test.rows.tolist():
        lines[row + 1] = lines[row + 1].rpartition(",")[0] + ",nonsense"
    (made.folder / "train.csv").write_text("\n".join(lines) + "\n", "utf-8")
    changed, same = read_training(spec, task, made.folder)
    assert (same, changed.labels) == (digest, examples.labels)


# ---- what goes wrong -----------------------------------------------------------------------------


def test_two_tuners_on_one_product_get_one_clear_error(tmp_path: Path) -> None:
    made = product(tmp_path / "p")
    with folder_lock(made.folder / FOLDER, "tuning"), pytest.raises(BusyError) as caught:
        made.tune()
    assert f"process {os.getpid()}: tuning" in str(caught.value)


MIXED = """
[tune]
ranges.linear.penalty = [0.1, 1.0]
ranges.cnn1d.loss = ["mse"]
"""


def test_a_trial_that_fails_is_recorded_with_its_reason_and_the_search_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    found = product(tmp_path / "p", MIXED).tune(jobs=1).tuned
    assert sorted(trial.state for trial in found.trials) == ["done", "done", "done", "failed"]
    (failed,) = [trial for trial in found.trials if trial.state == "failed"]
    assert "mse" in failed.why
    assert failed.choice.settings == {"loss": "mse"}


def test_where_every_trial_fails_the_first_reason_is_the_error(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    with pytest.raises(TrainError, match="no trial could be run") as caught:
        product(tmp_path / "p", '[tune]\nranges.cnn1d.loss = ["mse", "huber"]\n').tune(jobs=1)
    assert "mse" in str(caught.value)


def test_a_process_that_is_killed_fails_its_trial_alone(tmp_path: Path) -> None:
    """Workers by themselves, with a trial that would take a day."""
    made = product(tmp_path / "p")
    from trunkline.data.read import read_training
    from trunkline.tasks import TASKS
    from trunkline.tuning.space import space_of
    from trunkline.tuning.trial import Bench
    from trunkline.tuning.worker import start_message, trial_message

    task = TASKS.get("classify")()
    examples, digest = read_training(made.spec, task, made.folder)
    bench = Bench(made.spec, task, examples, space_of(made.spec, examples), made.desk.ask(), 8)
    workers = Workers(1, start_message(bench, made.folder, digest, made.desk.features), tmp_path)
    try:
        workers.give(1, trial_message(1, []))
        assert not workers.free()
        (first,) = _replies(workers)
        assert first.outcome is not None
        assert first.outcome["state"] == "done"
        os.kill(workers._all[0].process.pid, signal.SIGSTOP)  # so that it is at its trial when it goes
        workers.give(2, trial_message(2, []))
        os.kill(workers._all[0].process.pid, signal.SIGKILL)
        (second,) = _replies(workers)
        assert (second.number, second.outcome) == (2, None)
        assert "SIGKILL" in second.why
        workers.give(3, trial_message(3, []))
        (third,) = _replies(workers)
        assert third.number == 3
        assert third.outcome is not None
    finally:
        workers.close()


def _replies(workers: Workers) -> list[Any]:
    until, found = time.monotonic() + WAIT, list[Any]()
    while not found and time.monotonic() < until:
        found += workers.replies(1.0)
    return found


def test_rows_that_change_during_the_search_are_an_error(tmp_path: Path) -> None:
    from trunkline.tuning.worker import bench_of

    made = product(tmp_path / "p")
    from trunkline.spec import dump_spec

    features: Features = made.desk.features
    message = {
        "spec": dump_spec(made.spec), "folder": str(made.folder), "digest": "another", "most": 8,
        "features": str(features.folder), "bytes": features.max_bytes,
    }  # fmt: skip
    with pytest.raises(DataError, match="rows changed"):
        bench_of(message)


def test_rows_of_one_answer_are_refused_as_in_training(tmp_path: Path) -> None:
    made = product(tmp_path / "p")
    write_rows(made.folder / "train.csv", ["text", "label"], [(f"parcel number {at}", "late") for at in range(30)])
    with pytest.raises(DataError, match="all 30 training rows have one answer \\('late'\\)"):
        made.tune(jobs=1)


def test_a_damaged_record_is_one_clear_error(tmp_path: Path) -> None:
    made = product(tmp_path / "p")
    (made.folder / FOLDER).mkdir(parents=True)
    (made.folder / FOLDER / "study.db").write_bytes(b"this is no database, but long enough to look like a file of one" * 20)
    with pytest.raises(DataError, match="record of the search can't be read") as caught:
        made.tune(jobs=1)
    assert "study.db" in str(caught.value)


def test_a_time_budget_begins_no_trial_after_it(tmp_path: Path) -> None:
    found = product(tmp_path / "p").tune(jobs=1, seconds=1e-6)
    assert (found.ran, found.tuned.best, found.tuned.gain) == (0, 0, None)


def test_more_trials_go_on_and_other_ranges_begin_anew(tmp_path: Path) -> None:
    made = product(tmp_path / "p")
    assert made.tune(jobs=1, trials=2).ran == 2
    assert again(made).tune(jobs=1, trials=3).ran == 1
    file = made.folder / "product.toml"
    file.write_text(file.read_text("utf-8").replace("high = 40", "high = 30"), "utf-8")
    assert again(made).tune(jobs=1, trials=1).ran == 1


# ---- what it leaves -------------------------------------------------------------------------------


def test_the_command_tells_it_in_a_few_lines_and_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = product(tmp_path / "p")
    said = CliRunner().invoke(main, ["tune", str(made.folder), "--trials", "3", "--jobs", "1"])
    assert said.exit_code == 0, said.output
    assert len(said.stdout.strip().splitlines()) <= 12
    assert "as it is" in said.stdout
    assert "the test rows stay closed" in said.stderr
    plain = CliRunner().invoke(main, ["tune", str(made.folder), "--trials", "3", "--jobs", "1", "--json"])
    found = json.loads(plain.stdout)
    assert (found["ran"], len(found["trials"])) == (0, 4)
    kept = json.loads((made.folder / FOLDER / "tune.json").read_text("utf-8"))
    assert {key: found[key] for key in kept} == kept


@pytest.mark.parametrize(("low", "next_"), [(0.001, "--write"), (-0.02, "train"), (-0.3, "train")])
def test_settings_without_a_clear_gain_are_not_recommended(whole: Tuned, low: float, next_: str) -> None:
    gain = Estimate(low + 0.01, low, low + 0.02, 90)
    done = Done(msgspec.structs.replace(whole, gain=gain), 0, 0.0)
    *_, told, last = tune_command._lines(done, Path("shop"), wrote=False)
    assert ("no clear gain" in told) == (next_ == "train")
    assert next_ in last


WEAK = """
[method]
name = "knn"  # to be better
settings = { neighbours = 60 }

[tune]
trials = 4
ranges.linear.penalty = [0.05, 0.2, 1.0]
"""


def test_better_settings_are_written_and_the_next_report_shows_the_search(tmp_path: Path) -> None:
    made = product(tmp_path / "p", WEAK)
    found = made.tune(jobs=1).tuned
    assert found.best > 0
    assert found.gain is not None
    assert found.gain.value > 0
    before = again(made).train()
    assert before.report["tuned"] is None  # the old settings are still there
    assert made.write_tuned(found)
    assert made.spec.method.name == "linear"
    assert "# to be better" in (made.folder / "product.toml").read_text("utf-8")
    assert used(made.spec, made.folder) == found
    bundle = again(made).train()
    assert bundle.report["tuned"]["best"] == found.best
    from trunkline.proof.html import render_html

    told = {"en": "Its settings were searched", "zh": "设置经过搜索"}
    assert all(words in render_html(bundle.report, language) for language, words in told.items())
    assert any(words in bundle.read("report.html").decode() for words in told.values())


def test_nothing_better_is_nothing_to_write(tmp_path: Path) -> None:
    made = product(tmp_path / "p")
    found = made.tune(jobs=1, seconds=1e-6).tuned
    text = (made.folder / "product.toml").read_bytes()
    assert not made.write_tuned(found)
    assert (made.folder / "product.toml").read_bytes() == text


def test_the_trunk_is_asked_once_for_each_row(tmp_path: Path) -> None:
    """By the product as it is; the trials find every row in the cache."""
    made = product(tmp_path / "p")
    made.tune(jobs=2)
    segments = {file: file.stat().st_size for file in made.desk.features.folder.glob("*/*.rows")}
    assert made.desk.features.counts.misses == 90
    assert segments
    later = product(tmp_path / "q", rows=90)
    later = Product(later.folder, made.desk)
    later.tune(jobs=1, trials=2)
    assert {file: file.stat().st_size for file in made.desk.features.folder.glob("*/*.rows")} == segments


def test_tuned_comes_back_from_its_file(whole: Tuned) -> None:
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Tuned) == whole
