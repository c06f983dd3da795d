"""What is fixed by hand, what was measured before, and where it is kept."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from trunkline.engines import settings, threads
from trunkline.engines.batching import ROWS, ROWS_VARIABLE, TOKENS, TOKENS_VARIABLE, Batch
from trunkline.engines.settings import (
    BY_HAND,
    DEFAULT,
    Record,
    Settings,
    keep,
    known,
    machine,
    settle,
    with_hand,
)
from trunkline.engines.threads import THREADS_VARIABLE, workers
from trunkline.errors import TrunklineError
from trunkline.types import Call, EngineCard

CARD = EngineCard("toy", "f" * 32, "text", ("pooled",), 4, "CC0", "made up", runtime="numpy")


class Toy:
    card = CARD

    def __init__(self) -> None:
        self.settings = Settings()

    def examples(self) -> list[Call]:
        return []


@pytest.fixture(autouse=True)
def _nothing_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (ROWS_VARIABLE, TOKENS_VARIABLE, THREADS_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def record(rows: int = 16, tokens: int = 128, count: int = 1, **other: Any) -> Record:
    made = Record("toy", CARD.fingerprint, machine(CARD), rows, tokens, count, "2026-01-01T00:00:00+00:00", 1.0, {}, {})
    return msgspec.structs.replace(made, **other)


@given(st.integers(*ROWS), st.integers(*TOKENS), st.integers(1, 1_024))
@examples(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_record_comes_back_as_it_was_kept(tmp_path: Path, rows: int, tokens: int, count: int) -> None:
    keep(tmp_path, CARD, record(rows, tokens, count))
    assert known(tmp_path, CARD) == record(rows, tokens, count)
    engine = settle(Toy(), tmp_path)
    assert engine.settings.batch == Batch(rows, tokens)
    assert 1 <= engine.settings.threads <= workers()


@given(st.binary(max_size=400) | st.text(max_size=100).map(str.encode) | st.sampled_from([b"{}", b"null", b"[]"]))
@examples(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_counts_for_nothing(tmp_path: Path, content: bytes) -> None:
    keep(tmp_path, CARD, record()).write_bytes(content)
    assert settle(Toy(), tmp_path).settings == Settings()


@pytest.mark.parametrize("part", [{"rows": 0}, {"rows": 65}, {"tokens": 7}, {"threads": 0}, {"rows": "8"}, {"more": 1}])
def test_a_file_that_says_what_can_not_be_is_left_alone_and_said(
    part: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("trunkline.engines"), "propagate", True)
    path = keep(tmp_path, CARD, record())
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **part}))
    assert known(tmp_path, CARD) is None
    said = caplog.records[0]
    assert "can't be read" in said.message
    assert str(path) in str(said.__dict__["fields"])


@pytest.mark.parametrize("part", [{"fingerprint": "0" * 32}, {"machine": {}}, {"format": 0}])
def test_a_record_of_something_else_is_not_believed(part: dict[str, Any], tmp_path: Path) -> None:
    path = keep(tmp_path, CARD, record())
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **part}))
    assert known(tmp_path, CARD) is None


@pytest.mark.parametrize("name", ["model", "kind", "workers"])
def test_another_machine_has_a_file_of_its_own(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(tmp_path, CARD, record())
    monkeypatch.setattr(settings, name, lambda: 99)
    assert known(tmp_path, CARD) is None
    monkeypatch.undo()
    assert known(tmp_path, CARD) is not None
    assert known(tmp_path, replace(CARD, runtime="openvino")) is None


def test_what_is_fixed_by_hand_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS_VARIABLE, "3")
    keep(tmp_path, CARD, record(16, 128, 1))
    monkeypatch.setenv(ROWS_VARIABLE, "5")
    assert settle(Toy(), tmp_path).settings == Settings(Batch(5, 128), 3, BY_HAND)
    monkeypatch.setenv(TOKENS_VARIABLE, "4096")
    assert settle(Toy(), tmp_path).settings.batch == Batch(5, 4_096)
    monkeypatch.delenv(ROWS_VARIABLE)
    assert settle(Toy(), tmp_path).settings == Settings(Batch(16, 4_096), 3, BY_HAND)


@pytest.mark.parametrize("number", ["0", "65", "-1", "8.5", "many", "٣", "9" * 30])
def test_a_number_that_can_not_be_used_is_said(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ROWS_VARIABLE, number)
    with pytest.raises(TrunklineError, match="from 1 to 64") as raised:
        with_hand(Settings())
    assert ROWS_VARIABLE in raised.value.what
    monkeypatch.setenv(ROWS_VARIABLE, " ")
    assert with_hand(Settings()).why == DEFAULT


def test_a_container_may_have_fewer_cores_than_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(threads, "_CPU_MAX", quota)
    for text, cores in (("50000 100000\n", 1), ("max 100000\n", None), ("6400000 100000\n", None), ("?", None)):
        threads._quota.cache_clear()
        quota.write_text(text)
        assert workers() == (cores or len(os.sched_getaffinity(0)))
    threads._quota.cache_clear()


WRITER = """
import sys
from pathlib import Path
from tests.engines.test_settings import CARD, record
from trunkline.engines.settings import keep, known
folder, rows = Path(sys.argv[1]), int(sys.argv[2])
for _ in range(100):
    keep(folder, CARD, record(rows))
    found = known(folder, CARD)
    assert found is not None and found.rows in range(1, 5), found
"""


def test_processes_that_write_at_once_leave_a_whole_file(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    many = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(rows)], cwd=root, stderr=subprocess.PIPE, text=True)
        for rows in range(1, 5)
    ]
    errors = [process.communicate(timeout=120)[1] for process in many]
    assert errors == [""] * 4
    assert len(list(tmp_path.iterdir())) == 1
