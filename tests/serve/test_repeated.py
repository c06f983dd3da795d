"""`Idempotency-Key` on every route that answers: computed once, given again, never ignored."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from starlette.testclient import TestClient
from tests.serve.live import live
from tests.serve.parts import ToyEngine, ToyTable, make_product

from trunkline.client import Client
from trunkline.serve import ndjson, wire
from trunkline.serve.app import Server, build
from trunkline.serve.limits import Limits
from trunkline.serve.live import LiveCatalog
from trunkline.store.database import Store, open_store

TENSOR = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["aab", "bbc"]}
LINES = b'{"text": "aab"}\n{"text": 7}\n{\n{"text": "bbc"}\n'
SUPPORT = "/v1/products/support/predict"
CALLS: dict[str, tuple[str, bytes, str]] = {
    "predict": (SUPPORT, json.dumps({"rows": [{"text": "aab"}]}).encode(), "application/json"),
    "lines": (SUPPORT, LINES, "application/x-ndjson"),
    "matrix": ("/v1/matrix/predict", json.dumps({"row": {"text": "aab"}}).encode(), "application/json"),
    "embeddings": ("/v1/embeddings", json.dumps({"model": "toy", "input": ["aab", "bbc"]}).encode(), "application/json"),
    "infer": ("/v2/models/support/infer", json.dumps({"inputs": [TENSOR]}).encode(), "application/json"),
    "infer binary": (
        "/v2/models/support/infer",
        json.dumps({"inputs": [TENSOR], "parameters": {"binary_data_output": True}}).encode(),
        "application/json",
    ),
}
OWN = ("server-timing", "x-request-id", "date", "idempotency-replayed")  # of one call, not of its answer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


@pytest.fixture
def catalog(tmp_path: Path) -> LiveCatalog:
    make_product(tmp_path)
    make_product(tmp_path, "risk", inputs={"amount": "number"}, head=ToyTable("amount", [1.0]), labels=("a", "b"))
    return LiveCatalog(tmp_path)


@pytest.fixture
def client(catalog: LiveCatalog, store: Store) -> Iterator[TestClient]:
    app = build(catalog, Limits(body_bytes=20_000, rows=300), store)
    with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def send(client: TestClient, path: str, body: bytes, media: str, key: str = "k1") -> Any:
    return client.post(path, content=body, headers={"content-type": media, "idempotency-key": key})


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_is_sent_again_has_the_answer_it_had(client: TestClient, name: str) -> None:
    first = send(client, *CALLS[name])
    assert first.status_code == 200, first.text
    assert "idempotency-replayed" not in first.headers
    before = ToyEngine.calls
    again = send(client, *CALLS[name])
    assert (again.status_code, again.content, again.headers["idempotency-replayed"]) == (200, first.content, "true")
    assert ToyEngine.calls == before
    kept = [{k: v for k, v in reply.headers.items() if k not in OWN} for reply in (first, again)]
    assert kept[0] == kept[1]
    plain = client.post(CALLS[name][0], content=CALLS[name][1], headers={"content-type": CALLS[name][2]})
    assert plain.content == first.content  # with the key and without it, the same answer


@pytest.mark.parametrize("name", CALLS)
def test_the_key_of_another_call_is_refused(client: TestClient, name: str) -> None:
    path, body, media = CALLS[name]
    send(client, path, body, media)
    other = send(client, path, body.replace(b"aab", b"ccc"), media)
    openais = name in ("embeddings",)
    assert other.status_code == (400 if openais else 422), other.text
    assert "used for another call" in other.text
    assert send(client, path, body, media, key="a b").status_code == other.status_code


def test_the_same_bytes_as_lines_are_another_call(client: TestClient) -> None:
    body = b'{"row": {"text": "aab"}}'
    assert send(client, SUPPORT, body, "application/json").status_code == 200
    assert send(client, SUPPORT, body, "application/x-ndjson").status_code == 422


def test_openais_form_while_the_first_call_runs(client: TestClient, store: Store) -> None:
    body = json.dumps({"model": "toy", "input": "slow"}).encode()
    replies: list[Any] = []
    before, until = ToyEngine.calls, time.monotonic() + 20
    thread = threading.Thread(target=lambda: replies.append(send(client, "/v1/embeddings", body, "application/json")))
    thread.start()
    while ToyEngine.calls == before and time.monotonic() < until:  # then it takes a second
        time.sleep(0.005)
    found = send(client, "/v1/embeddings", body, "application/json")
    thread.join()
    assert (found.status_code, found.headers["retry-after"]) == (409, "1")
    assert set(found.json()["error"]) == {"message", "type", "param", "code"}
    assert replies[0].status_code == 200


def test_openais_own_client_sends_a_key(catalog: LiveCatalog, store: Store) -> None:
    with (
        live(build(catalog, store=store)) as address,
        openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0) as client,
    ):
        own = {"Idempotency-Key": "order-1"}
        first = client.embeddings.create(model="toy", input="aab", extra_headers=own)
        before = ToyEngine.calls
        assert client.embeddings.create(model="toy", input="aab", extra_headers=own) == first
        assert ToyEngine.calls == before
        with pytest.raises(openai.BadRequestError, match="used for another call"):
            client.embeddings.create(model="toy", input="b", extra_headers=own)


# ---- lines: what a JSON call may be, as a whole ----


def test_lines_with_a_key_are_at_most_what_a_json_call_may_hold(client: TestClient) -> None:
    media = "application/x-ndjson"
    many = send(client, SUPPORT, b'{"text": "a"}\n' * 301, media)
    assert (many.status_code, many.json()["type"]) == (413, "urn:trunkline:too-large")
    assert "without the key" in many.json()["try"]
    assert send(client, SUPPORT, b"x" * 20_001, media, key="k2").status_code == 413
    whole = send(client, SUPPORT, b'{"text": "a"}\n' * 300, media, key="k3")  # more than one batch
    assert [json.loads(line)["id"] for line in whole.text.splitlines()] == list(range(300))
    streamed = client.post(SUPPORT, content=b'{"text": "a"}\n' * 301, headers={"content-type": media})
    assert len(streamed.text.splitlines()) == 301


def test_a_row_that_breaks_is_kept_but_what_passes_is_not(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, media = b'{"text": "aab"}\n{"text": "break"}\n', "application/x-ndjson"
    answer, fails = Server.answer, [wire.LateError("too late"), wire.TooBusyError("too busy")]

    async def sometimes(*given: Any) -> Any:
        if fails:
            raise fails.pop(0)
        return await answer(*given)

    monkeypatch.setattr(Server, "answer", sometimes)
    late = send(client, SUPPORT, body, media)
    assert (late.status_code, late.json()["type"]) == (504, "urn:trunkline:late")
    done = send(client, SUPPORT, body, media)  # busy at first: it waits, as a stream does
    assert [json.loads(line).get("error") for line in done.text.splitlines()] == [None, "broken"]
    assert send(client, SUPPORT, body, media).content == done.content


def test_a_line_that_lacks_a_column_has_its_error(client: TestClient) -> None:
    found = send(client, SUPPORT, b'{"txt": "a"}\n', "application/x-ndjson")
    assert json.loads(found.text)["error"] == "missing_column"


def test_without_a_store_lines_are_a_stream_whatever_the_key(catalog: LiveCatalog) -> None:
    server = Server(catalog, Limits(rows=1))
    from starlette.requests import Request

    scope = {"type": "http", "method": "POST", "path": SUPPORT, "query_string": b"", "headers": [(b"idempotency-key", b"k")]}
    found = asyncio.run(ndjson.reply(server, server.route("support").live, Request(scope), None))
    assert isinstance(found, ndjson.Reply)


def test_our_own_client_streams_with_a_key_a_chunk(catalog: LiveCatalog, store: Store) -> None:
    rows = [{"text": "abc"[n % 3] * 3} for n in range(1_100)]
    with live(build(catalog, store=store)) as address, Client(f"http://{address}") as client:
        found = [answer.label for _, answer in client.stream("support", rows)]
    assert found == [("fee", "card", "other")[n % 3] for n in range(1_100)]
    with store.read() as connection:
        from sqlalchemy import func, select

        from trunkline.store.tables import idempotency

        assert connection.execute(select(func.count()).select_from(idempotency)).scalar_one() == 3


def test_a_form_sent_again_is_the_same_call_whatever_its_boundary(client: TestClient) -> None:
    def form(boundary: str, text: str = "aab") -> tuple[str, bytes, str]:
        body = f'--{boundary}\r\nContent-Disposition: form-data; name="text"\r\n\r\n{text}\r\n--{boundary}--\r\n'
        return SUPPORT, body.encode(), f"multipart/form-data; boundary={boundary}"

    first, again = send(client, *form("one")), send(client, *form("another"))
    assert (again.status_code, again.content, again.headers["idempotency-replayed"]) == (200, first.content, "true")
    assert send(client, *form("third", "bba")).status_code == 422
    assert send(client, *form("a", "baba")).status_code == 422  # a boundary's letters count within a cell
    assert send(client, *form("a"), key="k2").status_code == 200
    assert send(client, *form("a", "b"), key="k2").status_code == 422
