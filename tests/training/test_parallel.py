"""Two processes learn what one does; each makes its own rows only; one that is killed costs nothing but time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from click.testing import CliRunner
from safetensors.torch import load_file
from tests.training import together

from trunkline.cli import main
from trunkline.errors import TrainError
from trunkline.training import launch, parallel

CLOSE = 2e-5  # two processes add up the same numbers in another order
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(["src", "."]), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}


def started(*words: str) -> list[tuple[int, str]]:
    """(exit code, stderr) of two processes, told of each other as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    both = [
        subprocess.Popen(
            [sys.executable, "-m", *words], env={**os.environ, **ENVIRONMENT, **told, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [child.communicate(timeout=300)[1] for child in both]
    return [(child.returncode, text) for child, text in zip(both, said, strict=True)]


def kept(folder: Path, case: str, processes: int, rank: int = 0) -> tuple[dict[str, Any], Any]:
    name = f"{case}-{processes}-{rank}"
    return load_file(folder / f"{name}.safetensors"), json.loads((folder / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every case by two processes and by this one."""
    folder = tmp_path_factory.mktemp("both")
    for code, told in started("tests.training.together", str(folder), *together.CASES):
        assert (code, "Warning" in told) == (0, False), told[-3000:]
    for case in together.CASES:
        together.learned(case, folder)
    return folder


@pytest.mark.parametrize("case", together.CASES)
def test_two_processes_learn_what_one_does(both: Path, case: str) -> None:
    alone, told = kept(both, case, 1)
    for rank in range(2):
        weights, found = kept(both, case, 2, rank)
        for figure, curve in told["curve"].items():
            assert found["curve"][figure] == pytest.approx(curve, abs=CLOSE)
        for name, tensor in alone.items():
            assert (weights[name] - tensor).abs().max() < 50 * CLOSE, name  # Adam makes a step of any gradient's sign


@pytest.mark.parametrize("case", [case for case in together.CASES if case not in ("whole", "rare")])
def test_each_makes_its_own_rows_and_no_others(both: Path, case: str) -> None:
    first, second = (set(kept(both, case, 2, rank)[1]["seen"]) for rank in range(2))
    assert not first & second
    assert first | second == set(range(together.ROWS))


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_is_killed_costs_nothing_but_time(tmp_path: Path, victim: int) -> None:
    """torchrun starts both again, once; they go on from the first one's checkpoint to the same bits."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1",
        "--monitor-interval", "0.2", "-m", "tests.training.together", str(tmp_path), f"killed{victim}", "killed7",
    ]  # fmt: skip
    environment = {**launch._environment(tmp_path / "exit"), **ENVIRONMENT}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    broken, found = kept(tmp_path, f"killed-{victim}", 2)
    whole, _ = kept(tmp_path, "killed-7", 2)
    assert found["curve"] == ["resumed"]
    assert all(broken[name].equal(tensor) for name, tensor in whole.items())


def test_alone_nothing_is_asked_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with parallel.leading():
        parallel.call("cnn")
        parallel.met("anything")
        parallel.first_alone()
    assert (parallel.size(), parallel.rank(), parallel.beside(), parallel.sent(b"x")) == (1, 0, 1, b"x")


@pytest.mark.parametrize(("words", "says"), [(["learn a", "learn b"], "other rows"), (["learn a", "waits"], "an error there")])
def test_the_first_process_says_which_one_can_not_learn_with_it(monkeypatch: pytest.MonkeyPatch, words: list[str], says: str) -> None:
    monkeypatch.setattr(parallel, "size", lambda: 2)
    monkeypatch.setattr(parallel, "rank", lambda: 0)
    monkeypatch.setattr(parallel, "_said", lambda word: words)
    with pytest.raises(TrainError, match="process 1 can't learn with this one") as error:
        parallel.met("a")
    assert says in error.value.found


def test_pretraining_is_for_one_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "texts.txt").write_text("one\n")
    done = CliRunner().invoke(main, ["pretrain", str(tmp_path / "texts.txt"), "--to", str(tmp_path / "new")])
    assert done.exit_code == 2
    assert "pretrain learns in one process" in done.stderr
