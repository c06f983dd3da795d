"""`trunkline train --on ray`: what needs no cluster, and the real thing: a product as one process makes it, one of its processes killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("ray.train", reason="ray[train] is not installed")

from click.testing import CliRunner, Result
from tests.on_ray.processes import ROOT, command, of
from tests.on_ray.two_nodes import two_nodes
from tests.training.test_processes import curve, product

from trunkline.cli import main
from trunkline.cluster import joined
from trunkline.errors import DataError, TrainError, TrunklineError
from trunkline.files import folder_lock
from trunkline.on_ray import training
from trunkline.product import Product
from trunkline.training import parallel

CLOSE = 2e-5  # as docs/scale.md says of several processes


def refused(folder: Path) -> Result:
    done = CliRunner().invoke(main, ["train", str(folder), "--on", "ray", "--processes", "2"])
    assert done.exit_code == 2
    return done


def told(monkeypatch: pytest.MonkeyPatch, folder: Path, rank: int = 0) -> dict[str, Any]:
    """An order as `train_on_ray` makes it, for a process of this rank in this one."""
    monkeypatch.setattr(parallel, "rank", lambda: rank)
    monkeypatch.setenv("TRUNKLINE_THREADS", "1")
    monkeypatch.chdir(Path.cwd())  # it goes elsewhere
    at = str(folder / ".trunkline" / "ray.json")
    return {"at": str(ROOT), "folder": str(folder), "told": at, "registry": None, "profile": False, "threads": 1}


def test_ray_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = product(tmp_path / "shop")
    monkeypatch.setitem(sys.modules, "ray.train.torch", None)
    assert "pip install 'trunkline[ray]'" in refused(made.folder).stderr


def test_a_method_that_one_process_learns_is_said(tmp_path: Path) -> None:
    made = product(tmp_path / "shop")
    file = made.folder / "product.toml"
    file.write_text(file.read_text().split("[method]")[0] + '[method]\nname = "boosting"\n')
    assert "method 'boosting', wanted a network" in refused(made.folder).stderr


def test_a_folder_that_is_busy_is_said_before_a_cluster_is_made(tmp_path: Path) -> None:
    made = product(tmp_path / "shop")
    with folder_lock(made.folder / ".trunkline", "training"):
        assert "another process is working" in refused(made.folder).stderr


def test_more_processes_than_cores_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 5.0})
    joined.room(2, 2)
    with pytest.raises(TrunklineError, match="too small") as error:
        joined.room(3, 2)
    assert (error.value.found, error.value.wanted) == ("5 cores", "6: 2 for each of 3 processes")
    assert error.value.hint == "--processes 2"


def test_how_the_first_process_ended_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = product(tmp_path / "shop")
    (made.folder / "test.csv").unlink()
    order = told(monkeypatch, made.folder)
    training.work(order)
    with pytest.raises(DataError, match="does not exist"):
        training._outcome(Path(order["told"]), None)


def test_what_has_ended_is_not_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = product(tmp_path / "shop")
    order = told(monkeypatch, made.folder)
    Path(order["told"]).parent.mkdir()
    Path(order["told"]).write_text('{"version": "v7"}')
    training.work(order)
    assert not (made.folder / "bundles").exists()
    assert training._outcome(Path(order["told"]), RuntimeError("a process died at its end")) == "v7"


def test_an_error_that_the_others_wait_with_ends_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = product(tmp_path / "shop")

    def fails(self: Product) -> None:
        raise parallel.OneFailed("a batch is too large", hint="accumulate = 2")

    monkeypatch.setattr(Product, "follow", fails)
    order = told(monkeypatch, made.folder, rank=1)
    with pytest.raises(parallel.OneFailed):
        training.work(order)
    with pytest.raises(parallel.OneFailed, match="a batch is too large") as error:
        training._outcome(Path(order["told"]), RuntimeError())
    assert error.value.hint == "accumulate = 2"


def test_processes_that_die_too_often_are_said(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="failed") as error:
        training._outcome(tmp_path / "nothing", RuntimeError("the actor\ndied"))
    assert error.value.found == "the actor died"


def test_one_that_is_still_ending_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    busy = folder_lock(tmp_path / ".trunkline", "training")
    busy.__enter__()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        busy.__exit__(None, None, None)

    monkeypatch.setattr(time, "sleep", sleep)
    training._freed(tmp_path)
    assert len(slept) == 1


# ---- the real thing -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("victim", [None, 0, 1])
def test_a_product_by_two_processes_of_a_cluster_is_that_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: int | None) -> None:
    """victim: the rank of a process that is killed in the middle of an epoch; all are started again and go on."""
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "alone-cache"))
    monkeypatch.setenv("TRUNKLINE_THREADS", "1")
    alone, together = product(tmp_path / "alone"), product(tmp_path / "together")
    for each in (alone, together):
        file = each.folder / "product.toml"
        file.write_text(file.read_text().replace("epochs = 3", "epochs = 40\npatience = 0").replace("batch = 16", "batch = 40"))
    alone.train()
    with command(["train", str(together.folder)], tmp_path / "cache", tmp_path / "log") as child:
        if victim is not None:
            os.kill(_learning(child, tmp_path / "cache", "all-rows")[victim], signal.SIGKILL)
        said = child.communicate(timeout=500)[0]
    assert child.returncode == 3, (tmp_path / "log").read_text()[-3000:]  # the gate can't be passed
    assert json.loads(said)["version"] == "v1"
    assert curve(together) == pytest.approx(curve(alone), abs=CLOSE)
    assert ("resumed" in json.dumps(together.bundle().report)) == (victim is not None)
    assert not list((together.folder / ".trunkline").glob("ray-*"))
    assert np.isfinite(curve(together)).all()


@pytest.mark.slow
def test_ctrl_c_ends_the_cluster_made_for_it(tmp_path: Path) -> None:
    made = product(tmp_path / "shop")
    file = made.folder / "product.toml"
    file.write_text(file.read_text().replace("epochs = 3", "epochs = 5000\npatience = 0"))
    with command(["train", str(made.folder)], tmp_path / "cache", tmp_path / "log") as child:
        _learning(child, tmp_path / "cache", "fold")
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=120)
    assert (child.returncode, "stopped" in (tmp_path / "log").read_text()) == (130, True)
    assert not of("RayTrainWorker", str(tmp_path))
    assert not list((made.folder / ".trunkline").glob("ray-*"))


def _learning(child: subprocess.Popen[str], cache: Path, network: str) -> list[int]:
    """The two processes, once a network of this name has a checkpoint."""
    until = time.monotonic() + 300
    while time.monotonic() < until and child.poll() is None:
        if list((cache / "training").glob(f"*/{network}*/checkpoint.safetensors")) and len(found := of("RayTrainWorker", str(cache))) == 2:
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing was learned: {child.poll()}")


@pytest.mark.slow
def test_the_processes_are_on_two_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "alone-cache"))
    monkeypatch.setenv("TRUNKLINE_THREADS", "1")
    alone, together = product(tmp_path / "alone"), product(tmp_path / "together")
    alone.train()
    with two_nodes(tmp_path / "nodes") as machines:
        monkeypatch.setenv("RAY_ADDRESS", machines.address)
        with command(["train", str(together.folder)], tmp_path / "cache", tmp_path / "log") as child:
            seen: set[tuple[bool, ...]] = set()
            until = time.monotonic() + 300
            while child.poll() is None and time.monotonic() < until:
                seen.add(tuple(sorted(machines.on_second(pid) for pid in of("RayTrainWorker", str(tmp_path)))))
                time.sleep(0.2)
            child.communicate(timeout=20)
    assert child.returncode == 3, (tmp_path / "log").read_text()[-3000:]
    assert (False, True) in seen
    assert curve(together) == pytest.approx(curve(alone), abs=CLOSE)
