from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from trunkline.errors import RequestError
from trunkline.serve.idempotency import Idempotency, StillRunningError
from trunkline.serve.wire import WrongRequestError
from trunkline.store.database import Store, open_store
from trunkline.store.place import StoreError
from trunkline.store.tables import idempotency

ROOT = Path(__file__).parents[2]

# A server whose answers count up: the same number twice is the same answer. "slow" takes a minute.
SERVER = """
import asyncio, itertools, os, sys
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from trunkline.serve.problems import problem
from trunkline.errors import TrunklineError
from trunkline.serve.idempotency import Idempotency
from trunkline.serve.log import Envelope
from trunkline.serve.run import listen
from trunkline.store.database import open_store

once = Idempotency(open_store(sys.argv[1]), seconds=float(sys.argv[2]))

async def predict(request):
    body = await request.body()
    async def answer():
        if b"slow" in body and sys.argv[3] == "first":
            print("computing", flush=True)
            await asyncio.sleep(60)
        return JSONResponse([os.getpid(), body.decode()])
    return await once.once(request, body, answer)

app = Starlette(routes=[Route("/predict", predict, methods=["POST"])], exception_handlers={TrunklineError: problem})
listening = listen("127.0.0.1", 0)
print(listening.getsockname()[1], flush=True)
uvicorn.Server(uvicorn.Config(Envelope(app), log_config=None)).run(sockets=[listening])
"""


@contextmanager
def running(url: str, seconds: float, which: str = "first") -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, url, str(seconds), which], cwd=ROOT, text=True, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield process, f"http://127.0.0.1:{int(process.stdout.readline())}/predict"
    finally:
        process.kill()
        process.communicate(timeout=20)


def post(address: str, body: str, key: str = "k1", timeout: float = 10) -> httpx.Response:
    return httpx.post(address, content=body.encode(), headers={"idempotency-key": key}, timeout=timeout)


def test_the_same_call_has_the_same_answer_after_kill_9(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with running(url, 60) as (process, address):
        first = post(address, "包裹")
        assert first.json() == [process.pid, "包裹"]
        assert "idempotency-replayed" not in first.headers
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
    with running(url, 60) as (_, address):
        again = post(address, "包裹")
        other = post(address, "other")
        new = post(address, "包裹", key="k2")
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert other.status_code == 422
    assert new.json()[0] != first.json()[0]


def test_a_call_whose_process_was_killed_is_computed_anew_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with running(url, 600) as (process, address), running(url, 600, "second") as (other, elsewhere):
        with pytest.raises(httpx.ReadTimeout):
            post(address, "slow", timeout=1)
        assert process.stdout is not None
        assert process.stdout.readline() == "computing\n"
        assert post(elsewhere, "slow").json()["type"] == "urn:trunkline:still-running"
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
        assert post(elsewhere, "slow").json() == [other.pid, "slow"]
        assert post(elsewhere, "slow").headers["idempotency-replayed"] == "true"


# ---- the rest in this process --------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


class Calls:
    """Sends calls; counts how many were computed."""

    def __init__(self, store: Store) -> None:
        self.once = Idempotency(store, 60)
        self.computed = 0

    def send(self, body: bytes = b"{}", key: str | None = "k1", query: str = "", give: Callable[[], Response] | None = None) -> Response:
        return asyncio.run(self._send(body, key, query, give))

    async def _send(self, body: bytes, key: str | None, query: str, give: Callable[[], Response] | None) -> Response:
        async def answer() -> Response:
            self.computed += 1
            return give() if give is not None else Response(str(self.computed))

        return await self.once.once(request(key, query), body, answer)


def request(key: str | None, query: str = "") -> Request:
    headers = [] if key is None else [(b"idempotency-key", key.encode("latin-1"))]
    return Request(
        {"type": "http", "method": "POST", "path": "/predict", "query_string": query.encode(), "headers": headers,
         "scheme": "http", "server": ("127.0.0.1", 80)}
    )  # fmt: skip


@pytest.fixture
def calls(store: Store) -> Calls:
    return Calls(store)


def test_without_the_header_each_call_is_computed(calls: Calls) -> None:
    assert [calls.send(key=None).body for _ in range(2)] == [b"1", b"2"]


def test_with_it_once(calls: Calls) -> None:
    assert [calls.send().body for _ in range(3)] == [b"1"] * 3
    assert calls.computed == 1


def test_another_query_is_another_call(calls: Calls) -> None:
    calls.send()
    with pytest.raises(WrongRequestError, match="used for another call"):
        calls.send(query="scores=all")


@pytest.mark.parametrize("key", ["", " ", "a b", "ä", "k" * 256])
def test_keys_that_cant_be_read(calls: Calls, key: str) -> None:
    with pytest.raises(WrongRequestError, match="can't be read"):
        calls.send(key=key)


def test_an_error_is_not_kept(calls: Calls) -> None:
    def broken() -> Response:
        raise RequestError("too busy")

    with pytest.raises(RequestError, match="too busy"):
        calls.send(give=broken)
    assert calls.send(give=lambda: Response(status_code=503)).status_code == 503
    assert calls.send().body == b"3"
    assert calls.send().body == b"3"


def test_a_store_that_cant_be_written_takes_no_answer_away(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreError("the store can't be read or written", found="database or disk is full")

    def broken() -> Response:
        raise RequestError("too busy")

    monkeypatch.setattr("trunkline.store.idempotency.keep", full)
    monkeypatch.setattr("trunkline.store.idempotency.release", full)
    assert calls.send().body == b"1"
    with pytest.raises(RequestError, match="too busy"):
        calls.send(key="k2", give=broken)


def test_while_it_runs_the_second_is_told_so(store: Store) -> None:
    once = Idempotency(store, 60)

    async def both() -> None:
        go = asyncio.Event()

        async def answer() -> Response:
            go.set()
            with pytest.raises(StillRunningError):
                await once.once(request("k1"), b"{}", answer)
            return Response("first")

        assert (await once.once(request("k1"), b"{}", answer)).body == b"first"
        assert go.is_set()

    asyncio.run(both())


def test_a_kept_answer_has_the_headers_it_had_but_for_its_time(calls: Calls) -> None:
    headers = {"x-trunkline-version": "v1", "server-timing": "queue;dur=1"}
    first = calls.send(give=lambda: Response("包裹", headers=headers, media_type="application/x-ndjson"))
    again = calls.send()
    assert (again.headers["content-type"], again.headers["x-trunkline-version"]) == ("application/x-ndjson", "v1")
    assert again.headers["content-length"] == first.headers["content-length"] == "6"
    assert "server-timing" not in again.headers
    assert again.headers["idempotency-replayed"] == "true"


def test_an_answer_that_an_older_trunkline_kept_is_json(calls: Calls, store: Store) -> None:
    calls.send()
    with store.write() as connection:
        connection.execute(idempotency.update().values(headers=None))
    assert calls.send().headers["content-type"] == "application/json"
