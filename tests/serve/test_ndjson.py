"""Lines in, lines out: in order, in bounded memory, whatever the client does."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from tests.serve.live import app_of, live
from tests.serve.parts import ToyTable, make_product

from trunkline.serve import ndjson, wire
from trunkline.serve.app import Server
from trunkline.serve.limits import Limits
from trunkline.serve.live import LiveCatalog
from trunkline.serve.schedule import Spent

MEDIA = {"content-type": wire.NDJSON}
RISK = "/v1/products/risk/predict"
SUPPORT = "/v1/products/support/predict"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    make_product(tmp_path, "support", spec={"data": {"id": "nr"}})
    make_product(
        tmp_path, "risk", inputs={"amount": "number"}, head=ToyTable("amount", [1.0]), labels=("high", "low")
    )
    return Server(LiveCatalog(tmp_path), Limits(body_bytes=20_000, rows=100))


def app(server: Server) -> ASGIApp:
    async def predict(request: Request) -> Response:
        assert ndjson.wanted(request)
        return ndjson.Reply(server, server.served(request), request, None)

    return app_of([Route("/v1/products/{name}/predict", predict, methods=["POST"])])


def answers(reply: Any) -> list[dict[str, Any]]:
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith(wire.NDJSON)
    return [json.loads(line) for line in reply.text.splitlines()]


def test_each_line_has_its_answer_and_a_broken_one_its_error(server: Server) -> None:
    body = [
        '{"amount": 1}',
        "",
        '{"amount": "1,200"}\r',
        "{",
        '{"amount": NaN}',
        "[" * 5_000,
        "7",
        '{"amount": "many"}',
        '{"price": 1}',
        '{"amount": "' + "1" * 20_000 + '"}',
        "\udcff",
        '{"amount": -1}',
    ]
    client = TestClient(app(server))
    reply = client.post(RISK, content="\n".join(body).encode("utf-8", "surrogateescape"), headers=MEDIA)
    found = answers(reply)
    assert [one["id"] for one in found] == list(range(11))
    assert [one.get("label") or one["error"] for one in found] == [
        "high", "high", "not_json", "not_json", "not_json", "not_a_row", "unreadable", "missing_column",
        "too_large", "not_json", "low",
    ]  # fmt: skip
    assert reply.headers["x-trunkline-version"] == "v1"
    assert reply.headers["x-trunkline-product"] == "risk"
    assert len(reply.headers["x-trunkline-digest"]) == 64


def test_a_row_keeps_its_own_id(server: Server) -> None:
    body = b'{"text": "aaa", "nr": "k1"}\n{"text": "bbb"}\n{"text": "break", "nr": 7}\n{"text": ""}'
    found = answers(TestClient(app(server)).post(SUPPORT, content=body, headers=MEDIA))
    assert [one["id"] for one in found] == ["k1", 1, 7, 3]
    assert [one.get("label") or one["error"] for one in found] == ["fee", "card", "broken", "missing"]


def test_rows_that_all_fail_are_lines_too(server: Server) -> None:
    client = TestClient(app(server))
    assert [
        one["error"] for one in answers(client.post(RISK, content=b'{"a": 1}\n{"b": 1}', headers=MEDIA))
    ] == [
        "missing_column",
        "missing_column",
    ]
    found = answers(client.post(SUPPORT, content=b'{"text": "break", "nr": 9}', headers=MEDIA))
    assert (found[0]["id"], found[0]["error"]) == (9, "broken")
    assert "secret" not in found[0]["message"]
    assert answers(client.post(RISK, content=b"", headers=MEDIA)) == []


def test_what_is_known_before_the_first_line_is_a_status(server: Server) -> None:
    client = TestClient(app(server))
    assert client.post("/v1/products/rsk/predict", content=b"{}", headers=MEDIA).status_code == 404
    late = client.post(RISK, content=b"{}", headers={**MEDIA, "x-timeout-ms": "soon"})
    assert late.status_code == 422


def test_it_waits_while_the_server_is_busy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    async def answer(served: Any, rows: list[Any], request: Any, top: Any) -> tuple[list[Any], Spent]:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise wire.TooBusyError("too many calls are waiting")
        if calls == 4:
            raise wire.LateError("the deadline passed")
        return [{"id": 0, "status": "ok"} for _ in rows], Spent()

    monkeypatch.setattr(server, "answer", answer)
    body = b"\n".join([b'{"amount": 1}'] * 150) + b"\n"  # two batches of at most 100
    found = answers(TestClient(app(server)).post(RISK, content=body, headers=MEDIA))
    assert [one.get("error", "ok") for one in found] == ["ok"] * 100 + ["late"] * 50
    assert [one["id"] for one in found] == list(range(150))


@given(
    lines=st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)),
    cuts=st.lists(st.integers(0, 300), max_size=8),
)
def test_lines_do_not_depend_on_how_they_arrive(lines: list[bytes], cuts: list[int]) -> None:
    body = b"\n".join(lines)
    reader, found, at = ndjson.Lines(limit=20), [], 0
    for cut in sorted({min(cut, len(body)) for cut in cuts} | {len(body)}):
        found += reader.feed(body[at:cut])
        at = cut
    found += reader.end()
    assert found == [None if len(line) > 20 else line for line in lines if line.strip() or len(line) > 20]


@contextmanager
def sending(address: str, path: str) -> Iterator[socket.socket]:
    """A chunked POST whose head is sent."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as line:
        head = f"POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {wire.NDJSON}\r\n"
        line.sendall(head.encode() + b"transfer-encoding: chunked\r\n\r\n")
        yield line


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_an_answer_comes_before_the_next_row_is_sent(server: Server) -> None:
    with live(app(server)) as address, sending(address, RISK) as line:
        seen = b""
        for n in range(5):
            line.sendall(chunk(b'{"amount": %d}\n' % (n - 2.5)))
            while seen.count(b'"status"') <= n:
                data = line.recv(65_536)
                assert data
                seen += data
        line.sendall(chunk(b""))
        assert seen.count(b'"low"') >= 3


def resident() -> int:
    """Bytes of this process, server and client together, that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("reads", ["as it sends", "when all is sent"])
def test_fifty_thousand_rows_in_constant_memory(server: Server, reads: str) -> None:
    """30 MB in and 6 MB out, and the process grows by less than a third of that: nothing is kept."""
    rows, batch = 50_000, 500
    note = "退款 note " * 60
    count, wrong, sizes = 0, 0, []

    def take(reply: httpx.Response | Iterator[bytes]) -> None:
        nonlocal count, wrong
        lines = reply.iter_lines() if isinstance(reply, httpx.Response) else reply
        for text in lines:
            one = json.loads(text)
            wrong += one["id"] != count or one["label"] != ("low" if count % 3 else "high")
            count += 1

    def body() -> Iterator[bytes]:
        for start in range(0, rows, batch):
            lines = [
                json.dumps({"amount": -1 if n % 3 else 1, "note": note}, ensure_ascii=False)
                for n in range(start, start + batch)
            ]
            yield ("\n".join(lines) + "\n").encode()
            sizes.append(resident())

    with live(app(server)) as address:
        if reads == "when all is sent":
            with httpx.stream(
                "POST", f"http://{address}{RISK}", content=body(), headers=MEDIA, timeout=60
            ) as reply:
                take(reply)
        else:
            with sending(address, RISK) as line:
                reader = threading.Thread(target=lambda: take(received(line)))
                reader.start()
                for piece in body():
                    line.sendall(chunk(piece))
                line.sendall(chunk(b""))
                reader.join(60)
    assert (count, wrong) == (rows, 0)
    assert max(sizes) - sizes[5] < 10_000_000, [size // 1_000_000 for size in sizes[::10]]


def received(line: socket.socket) -> Iterator[bytes]:
    """Lines of a chunked answer."""
    file = line.makefile("rb")
    while file.readline() != b"\r\n":  # head
        pass
    rest = b""
    while size := int(file.readline(), 16):
        *whole, rest = (rest + file.read(size)).split(b"\n")
        file.readline()
        yield from whole


@pytest.mark.parametrize("whole", [True, False])
def test_a_client_that_goes_away_stops_the_work(
    server: Server, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """Whether all of its rows are here or more would come."""
    done = 0

    async def answer(served: Any, rows: list[Any], request: Any, top: Any) -> tuple[list[Any], Spent]:
        nonlocal done
        await asyncio.sleep(0.02)
        done += len(rows)
        return [{"id": 0, "status": "ok"} for _ in rows], Spent()

    monkeypatch.setattr(server, "answer", answer)
    rows = b'{"amount": 1}\n' * 20_000
    with live(app(server)) as address:
        with sending(address, RISK) as line:
            line.sendall(chunk(rows) + (chunk(b"") if whole else b""))
            assert line.recv(1_000)
        at_once = done
        time.sleep(0.5)
        stopped = done
        time.sleep(0.3)
        assert done == stopped < 20_000
        assert at_once <= stopped


def test_rows_that_wait_are_on_disk_and_then_the_client_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "MEMORY", 100)
    monkeypatch.setattr(ndjson, "DISK", 1_000)
    monkeypatch.setattr(ndjson, "STALL_SECONDS", 0.05)

    async def play() -> None:
        spool = ndjson.Spool()
        parts = [bytes([n]) * 400 for n in range(6)]
        for part in parts[:3]:
            await spool.put(part)
        with pytest.raises(TimeoutError):
            await spool.put(parts[3])
        taken = await spool.take()
        await spool.put(parts[3])
        await spool.close()
        while data := await spool.take():
            taken += data
        assert taken == b"".join(parts[:4])
        spool.drop()

    asyncio.run(play())
