"""Clients that hold a connection without getting on, against a real server with little patience."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import anyio
import httpx
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from tests.serve.live import app_of, live

from trunkline.serve import connections
from trunkline.serve.connections import PATIENCE, Connection

BIG = 8_000_000  # bytes: more than sockets hold
GET = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n"


class Hasty(Connection):
    patience = replace(
        PATIENCE, idle=1.5, head=0.8, head_bytes=4_000, body=1.2, bytes_per_s=100, stream=3.0, linger=0.8, unread=1.2,
        look=0.1,
    )  # fmt: skip


async def answer(request: Request) -> Response:
    return Response(b"here")


async def count(request: Request) -> Response:
    try:
        return Response(str(len(await request.body())))
    except ClientDisconnect:
        return Response("gone")


async def lines(request: Request) -> Response:
    request.state.stream = True
    return StreamingResponse(request.stream())


async def big(request: Request) -> Response:
    return Response(bytes(BIG))


async def busy(request: Request) -> Response:
    await anyio.sleep(1.2)
    return Response("done")


async def refuse(request: Request) -> Response:
    return Response(status_code=413)


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    routes = [
        Route("/", answer), Route("/big", big), Route("/busy", busy), Route("/count", count, methods=["POST"]),
        Route("/lines", lines, methods=["POST"]), Route("/refuse", refuse, methods=["POST"]),
    ]  # fmt: skip
    with live(app_of(routes), Hasty) as found:
        host, port = found.split(":")
        yield host, int(port)


@contextmanager
def opened(address: tuple[str, int], first: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=10) as sock:
        sock.sendall(first)
        yield sock


def rest(sock: socket.socket) -> bytes:
    """All until the server closes."""
    out = b""
    with suppress(ConnectionError):
        while piece := sock.recv(65_536):
            out += piece
    return out


def trickle(sock: socket.socket, piece: bytes, seconds: float) -> float:
    """A piece every 50 ms until the server closes; the seconds that it took."""
    began = time.monotonic()
    sock.setblocking(False)
    with suppress(ConnectionError):
        while time.monotonic() - began < seconds:
            sock.send(piece)
            time.sleep(0.05)
    sock.settimeout(10)
    return time.monotonic() - began


def post(path: str, headers: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}\r\n\r\n".encode()


def test_a_head_must_come_in_time(address: tuple[str, int]) -> None:
    with opened(address, GET) as sock:
        assert trickle(sock, b"x: y\r\n", 10) < 5
    with opened(address, GET) as sock:
        found = rest(sock)
    assert found.startswith(b"HTTP/1.1 408 ")
    assert b'"status":408' in found


def test_a_head_without_end_is_cut(address: tuple[str, int]) -> None:
    with opened(address, GET + b"x: ") as sock, suppress(ConnectionError):
        for _ in range(2_000):
            sock.sendall(b"a" * 10_000)
        pytest.fail("20 MB of it were taken")
    with opened(address, GET + b"x: ") as sock:
        time.sleep(0.1)
        sock.sendall(b"a" * 5_000)
        assert rest(sock).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("piece", [b"", b"a"])
def test_a_body_must_get_on(address: tuple[str, int], piece: bytes) -> None:
    with opened(address, post("/count", "content-length: 100000")) as sock:
        if piece:
            assert 1.1 < trickle(sock, piece, 10) < 8  # 20 bytes a second
        else:
            assert rest(sock).startswith(b"HTTP/1.1 408 ")


def test_a_slow_body_that_gets_on_is_answered(address: tuple[str, int]) -> None:
    with opened(address, post("/count", "content-length: 800\r\nconnection: close")) as sock:
        for _ in range(40):
            sock.sendall(b"a" * 20)
            time.sleep(0.05)
        assert rest(sock).endswith(b"800")


def test_rows_that_are_answered_as_they_come_may_be_slow(address: tuple[str, int]) -> None:
    with opened(address, post("/lines", "transfer-encoding: chunked")) as sock:
        for _ in range(2):
            sock.sendall(b"1\r\na\r\n")
            time.sleep(1.5)  # longer than a body may be silent
        sock.sendall(b"0\r\n\r\n")
        sock.settimeout(1)
        with suppress(TimeoutError):
            found = sock.recv(10_000)
        assert found.startswith(b"HTTP/1.1 200 ")
    with opened(address, post("/lines", "transfer-encoding: chunked")) as sock:
        sock.sendall(b"1\r\na\r\n")
        began = time.monotonic()
        rest(sock)
        assert 2.9 < time.monotonic() - began < 9


def test_a_body_that_was_refused_is_not_read_for_ever(address: tuple[str, int]) -> None:
    with opened(address, post("/refuse", "transfer-encoding: chunked")) as sock:
        assert sock.recv(4_096).startswith(b"HTTP/1.1 413 ")
        assert trickle(sock, b"1\r\na\r\n", 10) < 6


def test_an_answer_that_nobody_reads_is_dropped(address: tuple[str, int]) -> None:
    with opened(address, GET.replace(b"/ ", b"/big ") + b"\r\n") as sock:
        time.sleep(3)
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: sock.recv(100_000), b""))
    with opened(address, GET.replace(b"/ ", b"/big ") + b"connection: close\r\n\r\n") as sock:
        out = 0
        while piece := sock.recv(100_000):  # slowly, but it is read
            out += len(piece)
            time.sleep(0.01)
        assert out > BIG


def test_idle_ones_are_closed_and_busy_ones_are_not(address: tuple[str, int]) -> None:
    with opened(address) as idle, opened(address, GET.replace(b"/ ", b"/busy ") + b"\r\n") as working:
        assert working.recv(4_096).endswith(b"done")
        assert rest(idle) == b""


def test_a_head_behind_a_call_under_way_takes_no_answer(address: tuple[str, int]) -> None:
    with opened(address, GET.replace(b"/ ", b"/busy ") + b"\r\n" + GET) as sock:
        found = rest(sock)
    assert found.startswith(b"HTTP/1.1 200 ")
    assert b"done" in found
    assert found.count(b"HTTP/1.1") == 2  # then the second is told why


def test_the_longest_idle_make_room(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "room", lambda: 4)
    with ExitStack() as stack:
        first = [stack.enter_context(opened(address)) for _ in range(4)]
        assert httpx.get(f"http://{address[0]}:{address[1]}/").text == "here"
        first[0].settimeout(1)
        assert first[0].recv(1) == b""
    with ExitStack() as stack:
        busy_ones = [stack.enter_context(opened(address, GET.replace(b"/ ", b"/busy ") + b"\r\n")) for _ in range(4)]
        time.sleep(0.3)
        with opened(address) as fifth:
            assert rest(fifth).startswith(b"HTTP/1.1 503 ")
        assert all(sock.recv(4_096).endswith(b"done") for sock in busy_ones)


def test_files_may_be_opened_for_all_connections() -> None:
    code = "from trunkline.serve.connections import room; import resource; print(room(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for most in {2_000, hard if 0 < hard < 10**6 else 20_000}:
        command = ["sh", "-c", f'ulimit -Sn 300; ulimit -Hn {most}; exec "$@"', "sh", sys.executable, "-c", code]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        connections_, soft, _ = map(int, done.stdout.split())
        assert connections_ == min(PATIENCE.most, most - 256)
        assert soft >= connections_ + 256
