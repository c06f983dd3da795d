"""Fixtures that more than one folder uses, and how property tests run."""

from hypothesis import settings
from tests.postgres import database as database
from tests.postgres import postgres as postgres

settings.register_profile("any machine", settings.default, deadline=None)  # it may be busy
settings.load_profile("any machine")
