"""Bodies that stop, and disks that are full."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.serve.live import app_of, live

from trunkline.serve import wire
from trunkline.serve.connections import Connection, Patience
from trunkline.serve.jobs import upload
from trunkline.serve.jobs.upload import received


@pytest.fixture
def seen() -> list[str]:
    return []


@pytest.fixture
def address(tmp_path: Path, seen: list[str]) -> Iterator[str]:
    """A server that takes uploads, and notes what came of each."""

    async def take(request: Request) -> Response:
        try:
            async with received(request, tmp_path, 10_000_000) as found:
                seen.append(f"{found.path.stat().st_size} {found.digest.hex()[:8]} {found.path.stat().st_mode & 0o777:o}")
                return Response("taken")
        except wire.GoneError as error:
            seen.append(error.what)
            raise

    class Impatient(Connection):
        patience = Patience(body=1.0, look=0.1)

    with live(app_of([Route("/", take, methods=["POST"])]), Impatient) as address:
        yield address


def send(address: str, body: bytes, length: int) -> socket.socket:
    host, port = address.split(":")
    line = socket.create_connection((host, int(port)), timeout=20)
    line.sendall(f"POST / HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n".encode() + body)
    return line


def left(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def until(true: Any) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_whole_body_is_on_disk_and_for_no_other_user(address: str, tmp_path: Path, seen: list[str]) -> None:
    body = b"x" * 3_000_000
    with send(address, body, len(body)) as line:
        assert line.recv(1000).startswith(b"HTTP/1.1 200")
    assert seen == [f"3000000 {hashlib.sha256(body).hexdigest()[:8]} 600"]
    until(lambda: left(tmp_path) == [])


def test_an_upload_that_is_cut_off_leaves_nothing(address: str, tmp_path: Path, seen: list[str]) -> None:
    with send(address, b"x" * 2_500_000, 3_000_000):
        until(lambda: left(tmp_path) != [])
    until(lambda: seen == ["the caller left while it sent the file"])
    assert left(tmp_path) == []


def test_one_that_stalls_is_given_up(address: str, tmp_path: Path, seen: list[str]) -> None:
    with send(address, b"x" * 2_500_000, 3_000_000) as line:
        assert line.recv(1000).startswith(b"HTTP/1.1 408")
    until(lambda: seen == ["the caller left while it sent the file"])
    assert left(tmp_path) == []


def test_a_disk_that_fills_up_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * 1_200_000, "more_body": True}

    def full(home: Path, wanted: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def play(told: type[Exception]) -> None:
        request = Request({"type": "http", "method": "POST", "headers": []}, receive)
        with pytest.raises(told):
            async with received(request, tmp_path, 3_000_000):
                pytest.fail("it was taken")

    asyncio.run(play(wire.TooLargeError))  # without a length it is counted
    monkeypatch.setattr(upload, "_check_room", full)
    asyncio.run(play(wire.NoRoomError))
    assert left(tmp_path) == []
