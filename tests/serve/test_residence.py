from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.networks import linear

from trunkline.engines.own import OwnNetwork
from trunkline.errors import BundleError
from trunkline.serve.residence import Residence, resident_bytes
from trunkline.types import Call, Engine

NAMES = "abcd"
SIZE = 1_000_000
ROW = Call("own:net", [(np.ones(2),)], "outputs", options=(("output", ""), ("tensors", ("x",))))


class Loads:
    """Loads small networks, each a number; counts, and can be slow or fail."""

    def __init__(self, folder: Path, seconds: float = 0.0) -> None:
        self.count: Counter[str] = Counter()
        self.seconds = seconds
        self.broken: set[str] = set()
        self.networks = {
            name: OwnNetwork(linear(folder / f"{name}.onnx", [[at], [0]], [0], "Identity")) for at, name in enumerate(NAMES)
        }

    def __call__(self, name: str) -> Engine:
        self.count[name] += 1
        time.sleep(self.seconds)
        if name in self.broken:
            raise BundleError("broken")
        return self.networks[name].load()


def residence(loads: Loads, engines: float) -> Residence:
    """Room for so many: the size of small engines is set by their files."""
    return Residence(loads, int(engines * SIZE), lambda name: SIZE)


def answer(engine: Engine) -> float:
    return float(engine.run(ROW)[0, 0])


@pytest.fixture(autouse=True)
def _sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small engines don't show in RSS; what shows are pages of other tests."""
    monkeypatch.setattr("trunkline.serve.residence.resident_bytes", lambda: 0)


def test_nothing_is_loaded_before_it_is_used_and_then_once(tmp_path: Path) -> None:
    loads = Loads(tmp_path)
    engines = residence(loads, 4)
    assert not loads.count
    assert answer(engines["c"]) == 2
    assert engines["c"] is engines["c"]
    assert loads.count == {"c": 1}


def test_many_who_ask_at_once_wait_for_one_load(tmp_path: Path) -> None:
    loads = Loads(tmp_path, seconds=0.1)
    engines = residence(loads, 4)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: engines["b"], range(8)))
    assert loads.count == {"b": 1}
    assert len(set(map(id, found))) == 1


def test_the_least_recently_used_goes(tmp_path: Path) -> None:
    engines = residence(Loads(tmp_path), 2)
    for name in ("a", "b", "a", "c"):
        engines[name]
    assert list(engines.resident()) == ["a", "c"]
    assert engines.evictions == 1
    assert answer(engines["b"]) == 1, "it comes back when it is asked for"
    assert list(engines.resident()) == ["c", "b"]


def test_room_is_made_before_a_load(tmp_path: Path) -> None:
    loads = Loads(tmp_path)
    seen: list[list[str]] = []

    def load(name: str) -> Engine:
        seen.append(list(engines.resident()))
        return loads(name)

    engines = Residence(load, SIZE, lambda name: SIZE)
    for name in "ab":
        engines[name]
    assert seen == [[], []]


def test_a_pinned_engine_stays(tmp_path: Path) -> None:
    engines = residence(Loads(tmp_path), 1)
    engines.pin("a")
    for name in "bc":
        engines[name]
    assert list(engines.resident()) == ["a", "c"]
    engines.unpin("a")
    assert list(engines.resident()) == ["c"]


def test_an_engine_stays_while_rows_wait_or_run(tmp_path: Path) -> None:
    engines = residence(Loads(tmp_path), 1)
    engines.hold("a")
    engines.hold("a")
    engines["a"]
    with engines.use("b") as b:
        assert answer(b) == 1
        assert set(engines.resident()) == {"a", "b"}, "over the budget, but both have work"
    engines.release("a")
    assert "a" in engines.resident(), "held once more"
    engines["c"]
    assert set(engines.resident()) == {"a", "c"}
    engines.release("a")
    assert set(engines.resident()) == {"a"}, "what was just used is kept over what is idle"


def test_an_engine_larger_than_the_budget_answers(tmp_path: Path) -> None:
    loads = Loads(tmp_path)
    engines = residence(loads, 0.5)
    for _ in range(3):
        with engines.use("a") as engine:
            assert answer(engine) == 0
    assert loads.count["a"] == 1, "kept until another is asked for"
    engines["b"]
    assert list(engines.resident()) == ["b"]


def test_a_load_that_fails_is_said_to_all_and_tried_again(tmp_path: Path) -> None:
    loads = Loads(tmp_path, seconds=0.1)
    loads.broken.add("a")
    engines = residence(loads, 4)

    def failure(_: int) -> str:
        with pytest.raises(BundleError) as raised, engines.use("a"):
            pass
        return raised.value.what

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(failure, range(4))) == {"broken"}
    assert loads.count["a"] < 4
    loads.broken.clear()
    assert answer(engines["a"]) == 0


def test_threads_that_press_on_a_small_budget(tmp_path: Path) -> None:
    """Every answer is right, no held engine goes, and in the end the budget holds."""
    loads = Loads(tmp_path)
    engines = residence(loads, 2)
    lost, wrong = [], []
    barrier = threading.Barrier(6)

    def press(seed: int) -> None:
        rng = random.Random(seed)
        barrier.wait(timeout=10)
        for _ in range(150):
            name = rng.choice(NAMES)
            with engines.use(name) as engine:
                if answer(engine) != NAMES.index(name):
                    wrong.append(name)
                if name not in engines.resident():
                    lost.append(name)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(press, range(6)))
    assert (lost, wrong) == ([], [])
    assert sum(engines.resident().values()) <= engines.budget_bytes
    assert engines.loads == loads.count.total() == engines.evictions + len(engines.resident())


def test_the_size_is_how_far_memory_grew_or_the_files_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = iter([100, 5_100, 9_000, 9_010])  # before and after each load
    monkeypatch.setattr("trunkline.serve.residence.resident_bytes", lambda: next(memory))
    engines = Residence(Loads(tmp_path), SIZE, {"a": 700, "b": 700}.__getitem__)
    assert engines["a"] is not engines["b"]
    assert engines.resident() == {"a": 5_000, "b": 700}


MEASURE = """
import sys
from pathlib import Path
from trunkline.engines.own import OwnNetwork
from trunkline.serve.residence import Residence
network = OwnNetwork(Path(sys.argv[1]))
engines = Residence(lambda name: network.load(), 10**9)
engines["a"]
print(engines.resident()["a"] / network.size_bytes)
"""


@pytest.mark.skipif(not resident_bytes(), reason="this system doesn't say")
def test_a_real_networks_size_in_a_fresh_process(tmp_path: Path) -> None:
    """In an old one, memory that was freed before is used again and doesn't show."""
    file = linear(tmp_path / "m.onnx", np.ones((2, 5_000_000)), np.zeros(5_000_000), "Identity")
    done = subprocess.run([sys.executable, "-c", MEASURE, file], capture_output=True, text=True, check=True, timeout=60)
    assert 0.8 < float(done.stdout) < 2
