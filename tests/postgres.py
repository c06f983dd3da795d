"""A PostgreSQL of the test run's own: its data, log and Unix socket in one temporary folder, no port.

Every process of pytest-xdist starts its own once; each test gets an empty database from `database`.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

BINARIES = Path("/usr/lib/postgresql")  # Debian's: <version>/bin; elsewhere they lie on PATH
_FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"  # nothing here outlives the run


@dataclass(frozen=True)
class Cluster:
    """A running server. `user` owns everything in it; its password is asked for."""

    folder: Path
    password: str
    user: str = "trunkline_test"

    def url(self, database: str = "postgres") -> str:
        """For SQLAlchemy, with psycopg as its driver."""
        return f"postgresql+psycopg://{self.user}:{self.password}@/{database}?host={self.folder}"

    def execute(self, statement: str) -> None:
        """Outside any transaction, as CREATE DATABASE wants."""
        import psycopg

        told = f"host={self.folder} user={self.user} password={self.password} dbname=postgres"
        with psycopg.connect(told, autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """Skips where there is no PostgreSQL, or where root has no user `postgres` to start it as."""
    initdb = _initdb()
    if initdb is None:
        pytest.skip(f"no PostgreSQL: no initdb under {BINARIES} or on PATH (apt-get install postgresql)")
    owner = _owner()
    if owner is None:
        pytest.skip("PostgreSQL doesn't start as root, and there is no user postgres")
    folder = Path(tempfile.mkdtemp(prefix="trunkline-pg-", dir="/tmp"))  # a socket's path is at most 107 signs
    os.chown(folder, owner, -1)
    cluster = Cluster(folder, secrets.token_hex(8))
    try:
        _make(cluster, initdb, owner)
        _control(cluster, initdb, owner, "start", "-l", str(folder / "log"), "-o", f"-k {folder} -c listen_addresses= {_FAST}")
        yield cluster
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            _control(cluster, initdb, owner, "stop", "-m", "immediate")
        shutil.rmtree(folder)


@pytest.fixture
def database(postgres: Cluster) -> Iterator[str]:
    """The SQLAlchemy URL of an empty UTF-8 database, gone after the test."""
    name = f"test_{secrets.token_hex(6)}"
    postgres.execute(f"CREATE DATABASE {name}")
    yield postgres.url(name)
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _initdb() -> Path | None:
    found = sorted(BINARIES.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1] if found else Path(on_path) if on_path else None


def _owner() -> int | None:
    """Whose processes they are: our own, or postgres's where we are root."""
    if os.geteuid() != 0:
        return os.geteuid()
    return next((entry.pw_uid for entry in pwd.getpwall() if entry.pw_name == "postgres"), None)


def _make(cluster: Cluster, initdb: Path, owner: int) -> None:
    secret = cluster.folder / "password"
    secret.write_text(cluster.password)
    os.chown(secret, owner, -1)
    made = ("--no-sync", "--no-instructions", "-E", "UTF8", "--locale=C", "-A", "scram-sha-256")
    _run(owner, str(initdb), "-D", str(cluster.folder / "data"), "-U", cluster.user, f"--pwfile={secret}", *made)


def _control(cluster: Cluster, initdb: Path, owner: int, verb: str, *options: str) -> None:
    _run(owner, str(initdb.with_name("pg_ctl")), verb, "-w", "-t", "60", "-D", str(cluster.folder / "data"), *options)


def _run(owner: int, *command: str) -> None:
    """Output goes to a file: a pipe would stay open as long as the server that `command` leaves behind."""
    with tempfile.TemporaryFile() as told:
        user = owner if os.geteuid() == 0 else None
        done = subprocess.run(command, user=user, cwd="/", stdin=subprocess.DEVNULL, stdout=told, stderr=told, timeout=120)
        told.seek(0)
        assert done.returncode == 0, told.read().decode(errors="replace")
