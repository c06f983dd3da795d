"""One thread a training: two of them wait for each other by spinning, which on busy cores takes many times as long."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_THREADS", "1")
