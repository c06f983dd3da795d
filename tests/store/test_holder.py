from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trunkline.store import holder
from trunkline.store.holder import holder_is_gone, new_mark

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems don't tell")
CODE = "from trunkline.store.holder import new_mark; print(new_mark(), flush=True); input()"


def test_who_lives_and_who_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        mark = other.stdout.readline().strip()
        assert not holder_is_gone(mark)
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # ended, and its parent didn't look yet
        assert holder_is_gone(mark)
    assert holder_is_gone(mark)


def test_marks_are_alone_and_fit_the_store() -> None:
    marks = {new_mark() for _ in range(1_000)}
    assert len(marks) == 1_000
    assert {len(mark) for mark in marks} == {32}
    assert not any(map(holder_is_gone, marks))


def test_a_number_that_another_process_has_now() -> None:
    mark = new_mark()
    assert holder_is_gone(mark[:16] + f"{int(mark[16:24], 16) - 1:08x}" + mark[24:])


def test_of_another_machine_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = new_mark()
    assert not holder_is_gone("0" * 8 + mark[8:16] + "0" * 16)
    assert not holder_is_gone("")
    monkeypatch.setattr(holder, "_place", lambda: "")
    assert not holder_is_gone(mark)
    assert len(new_mark()) == 32
