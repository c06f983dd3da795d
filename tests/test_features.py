from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trunkline.features import Features
from trunkline.segments import Segments
from trunkline.trunks.hash import HashTrunk
from trunkline.types import Call

TEXTS = [f"text {i} 文本" for i in range(300)]


class Counting(HashTrunk):
    """Counts the rows that were really encoded."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = 0

    def run(self, call: Call) -> Any:
        self.rows += len(call.items)
        return super().run(call)


def _keys(n: int) -> list[bytes]:
    return [np.uint64(i * 2654435761 % 2**63).tobytes() + b"\0" * 8 for i in range(n)]


def test_known_rows_are_not_computed_again(tmp_path: Path) -> None:
    trunk = Counting()
    first = Features(tmp_path)
    one = first.ask({"trunk:hash": trunk})([Call("trunk:hash", TEXTS)])[0]
    again = Features(tmp_path)  # as another process would see it
    two = again.ask({"trunk:hash": trunk})([Call("trunk:hash", [*TEXTS[100:], "new"])])[0]
    assert trunk.rows == len(TEXTS) + 1
    assert np.array_equal(one[100:], two[:-1])
    assert np.array_equal(one, HashTrunk().run(Call("x", TEXTS)))
    assert (again.counts.hits, again.counts.misses) == (200, 1)
    assert 0.99 < again.counts.rate < 1
    assert again.size() > len(TEXTS) * 64 * 4


def test_a_trunk_loads_only_for_new_rows(tmp_path: Path) -> None:
    (first,) = Features(tmp_path).ask({"trunk:hash": HashTrunk()})([Call("trunk:hash", TEXTS)])

    class Unloadable(HashTrunk):
        def load(self) -> HashTrunk:
            raise AssertionError("loaded for rows that are known")

    (again,) = Features(tmp_path).ask({"trunk:hash": Unloadable()})([Call("trunk:hash", TEXTS)])
    assert again.tobytes() == first.tobytes()


def test_tokens_pass_through(tmp_path: Path) -> None:
    ask = Features(tmp_path).ask({"trunk:hash": HashTrunk()})
    assert len(ask([Call("trunk:hash", ["a b"], "tokens")])[0]) == 1
    assert list(tmp_path.rglob("*.rows")) == []


def test_many_small_segments_become_one(tmp_path: Path) -> None:
    store = Segments(tmp_path / "s", 4, 10**9)
    keys, rows = _keys(400), np.arange(1600, dtype=np.float32).reshape(400, 4)
    for i in range(0, 400, 4):
        store.put(keys[i : i + 4], rows[i : i + 4])
    assert len(list(tmp_path.rglob("*.rows"))) < 40
    out = np.zeros_like(rows)
    assert Segments(tmp_path / "s", 4, 10**9).get(keys, out).all()
    assert np.array_equal(out, rows)


def test_bounded_the_longest_unused_goes_first(tmp_path: Path) -> None:
    store = Segments(tmp_path / "s", 64, 100_000)
    keys = _keys(1000)
    for i in range(0, 1000, 100):
        store.put(keys[i : i + 100], np.full((100, 64), i, np.float32))
        time.sleep(0.01)
    assert sum(p.stat().st_size for p in tmp_path.rglob("*.rows")) <= 100_000
    out = np.zeros((1000, 64), np.float32)
    known = store.get(keys, out)
    assert known[-100:].all()
    assert not known[:100].any()


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_broken_segment_counts_as_absent(tmp_path: Path, damage: str) -> None:
    store = Segments(tmp_path, 4, 10**9)
    keys, rows = _keys(10), np.ones((10, 4), np.float32)
    store.put(keys, rows)
    path = next(tmp_path.glob("*.rows"))
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes({"cut": bytes(data[:-5]), "flip": bytes(data), "empty": b""}[damage])
    fresh = Segments(tmp_path, 4, 10**9)
    assert not fresh.get(keys, np.zeros_like(rows)).any()
    fresh.put(keys, rows)
    assert fresh.get(keys, np.zeros_like(rows)).all()


def test_an_interruption_leaves_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.features._WRITE_ROWS", 100)

    class Interrupted(HashTrunk):
        calls = 0

        def run(self, call: Call) -> Any:
            self.calls += 1
            if self.calls == 3:
                raise KeyboardInterrupt
            return super().run(call)

    with pytest.raises(KeyboardInterrupt):
        Features(tmp_path).ask({"trunk:hash": Interrupted()})([Call("trunk:hash", TEXTS)])
    trunk = Counting()
    Features(tmp_path).ask({"trunk:hash": trunk})([Call("trunk:hash", TEXTS)])
    assert trunk.rows == 100


def test_several_processes_write_one_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trunkline.features import Features\n"
        "from trunkline.trunks.hash import HashTrunk; from trunkline.types import Call\n"
        "a = int(sys.argv[2])\n"
        "for i in range(a, a + 60, 2):\n"
        "    Features(Path(sys.argv[1])).ask({'t': HashTrunk()})([Call('t', [f'text {i} 文本', f'text {i + 1} 文本'])])\n"
    )
    starts = (0, 30, 60)
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(a)]) for a in starts]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    trunk = Counting()
    out = Features(tmp_path).ask({"t": trunk})([Call("t", TEXTS[:120])])[0]
    assert trunk.rows == 0
    assert np.array_equal(out, HashTrunk().run(Call("x", TEXTS[:120])))


def test_ten_thousand_rows_are_found_at_once(tmp_path: Path) -> None:
    store = Segments(tmp_path, 384, 10**9)
    keys, rows = _keys(10_000), np.ones((10_000, 384), np.float32)
    store.put(keys, rows)
    fresh = Segments(tmp_path, 384, 10**9)
    start = time.perf_counter()
    assert fresh.get(keys, np.zeros_like(rows)).all()
    assert time.perf_counter() - start < 0.5  # 0.02 s here; the bound leaves room for a busy machine


def test_a_folder_that_cannot_be_written_costs_only_speed(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    out = Features(blocked).ask({"t": HashTrunk()})([Call("t", TEXTS[:3])])[0]
    assert np.array_equal(out, HashTrunk().run(Call("x", TEXTS[:3])))
