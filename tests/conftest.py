"""Fixtures that more than one folder uses."""

from tests.postgres import database as database
from tests.postgres import postgres as postgres
