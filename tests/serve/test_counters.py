from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trunkline.serve import counters
from trunkline.serve.counters import counters_folder

CODE = """
import sys
from pathlib import Path
from trunkline.serve import counters
counters.MEMORY = Path(sys.argv[1])
with counters.counters_folder() as folder:
    print(folder, flush=True)
    input()
"""


def test_what_a_killed_server_left_is_removed_and_a_living_one_keeps_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MEMORY", tmp_path)
    command = [sys.executable, "-c", CODE, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        try:
            with counters_folder() as mine:
                assert {mine, theirs} == set(tmp_path.iterdir())
            assert list(tmp_path.iterdir()) == [theirs]
        finally:
            other.kill()
            other.wait(20)
    with counters_folder() as mine:
        assert {mine, theirs} == set(tmp_path.iterdir())  # it could be one that was made just now
    os.utime(theirs / "lock", (0, 0))
    with counters_folder() as mine:
        assert list(tmp_path.iterdir()) == [mine]


def test_without_memory_that_looks_like_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MEMORY", tmp_path / "none")
    with counters_folder() as mine:
        assert mine.is_dir()
    assert not mine.exists()
