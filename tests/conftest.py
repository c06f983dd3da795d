"""Fixtures that more than one folder uses, and how property tests run."""

import pytest
from hypothesis import settings
from tests.postgres import database as database
from tests.postgres import postgres as postgres

settings.register_profile("any machine", settings.default, deadline=None)  # it may be busy
settings.load_profile("any machine")


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads of a training wait for each other by spinning, which on busy cores takes many times as long."""
    monkeypatch.setenv("TRUNKLINE_THREADS", "1")
