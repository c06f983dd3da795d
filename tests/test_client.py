"""Both clients against the real server over loopback, and against one that fails on purpose."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.serve.live import app_of, live
from tests.serve.parts import ToyHead, ToyTable, make_product, register

from trunkline.client import (
    Answer,
    AsyncClient,
    Client,
    OverloadedError,
    ProblemError,
    UnreachableError,
    errors,
    results,
    sending,
)
from trunkline.client import client as module
from trunkline.errors import RequestError, TrunklineError
from trunkline.serve import embeddings, ndjson
from trunkline.serve.app import Server
from trunkline.serve.limits import Limits
from trunkline.serve.live import LiveCatalog

Use = Callable[[Any], Any]
Kind = type[Client] | type[AsyncClient]


class Faulty:
    """Around a real app: meets the first calls with faults, and notes every call's headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.faults: list[str | tuple[int, dict[str, str]]] = []
        self.seen: list[dict[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append({name.decode(): value.decode() for name, value in scope["headers"]})
        fault = self.faults.pop(0) if self.faults else None
        if fault is None:
            await self.app(scope, receive, send)
        elif isinstance(fault, tuple):
            await Response(b'{"title": "not now"}', *fault)(scope, receive, send)
        elif fault == "drop":
            head = [(b"content-length", b"1000"), (b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": b'{"answers": [', "more_body": True})
        else:
            await asyncio.sleep(1.0)


def whole(server: Server) -> ASGIApp:
    async def predict(request: Request) -> Response:
        if ndjson.wanted(request):
            return ndjson.Reply(server, server.served(request), request, None)
        return await server.predict(request)

    return app_of(
        [
            Route("/v1/products", server.products),
            Route("/v1/products/{name}/predict", predict, methods=["POST"]),
            Route("/v1/matrix/predict", server.matrix, methods=["POST"]),
            *embeddings.routes(server),
        ]
    )


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Faulty, str]]:
    root = tmp_path_factory.mktemp("products")
    with register():
        make_product(root, "support", spec={"data": {"id": "nr"}})
        make_product(root, "many", head=ToyHead("text", [1.0] * 3), labels=[f"l{n}" for n in range(3)])
        table = ToyTable("amount", [1.0])
        make_product(root, "risk", inputs={"amount": "number"}, head=table, labels=("high", "low"))
        make_product(root, "failed", passed=False)
        app = Faulty(whole(Server(LiveCatalog(root), Limits())))
        with live(app) as address:
            yield app, f"http://{address}"


@pytest.fixture
def faulty(real: tuple[Faulty, str]) -> Faulty:
    app, _ = real
    app.seen.clear()
    app.faults.clear()
    return app


@pytest.fixture
def url(real: tuple[Faulty, str], faulty: Faulty, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sending, "_random_wait", lambda state: 0.01)
    return real[1]


async def _awaited(kind: type[AsyncClient], use: Use, *args: Any, **options: Any) -> Any:
    async with kind(*args, **options) as client:
        found = use(client)
        return [one async for one in found] if isinstance(found, AsyncIterator) else await found


def ask(kind: Kind, use: Use, *args: Any, **options: Any) -> Any:
    """What `use` of a client gives, awaited where that is needed."""
    if issubclass(kind, AsyncClient):
        return asyncio.run(_awaited(kind, use, *args, **options))
    with kind(*args, **options) as client:
        found = use(client)
        return list(found) if isinstance(found, Iterator) else found


BOTH = pytest.mark.parametrize("kind", [Client, AsyncClient])


@BOTH
def test_one_row_and_many(kind: Kind, url: str) -> None:
    one = ask(kind, lambda client: client.predict("support", {"text": "cc", "nr": "r-7"}), url)
    assert isinstance(one, Answer)
    assert (one.id, one.status, one.label, one.product, one.version) == ("r-7", "ok", "other", "support", "v1")
    assert sum(one.scores.values()) == pytest.approx(1)
    assert (one.value, one.error, one.more) == (None, None, {})
    rows = [{"text": "退款 aaa"}, {"text": "break"}, {"text": None}]
    many = ask(kind, lambda client: client.predict("support", rows), url)
    assert [(a.id, a.status, a.label, a.error) for a in many] == [
        (0, "ok", "fee", None), (1, "error", None, "broken"), (2, "error", None, "missing"),
    ]  # fmt: skip
    assert many[1].message
    assert ask(kind, lambda client: client.predict("support", []), url) == []


@BOTH
def test_matrix(kind: Kind, url: str) -> None:
    found = ask(kind, lambda client: client.matrix({"text": "bb"}, ["support", "nothing"]), url)
    assert [(a.product, a.version, a.label or a.error) for a in found] == [
        ("support", "v1", "card"), ("nothing", None, "unknown_product"),
    ]  # fmt: skip
    every = ask(kind, lambda client: client.matrix({"text": "bb"}), url)
    assert [a.product for a in every] == ["many", "support"]


@BOTH
def test_products_and_embeddings(kind: Kind, url: str) -> None:
    found = {one.name: one for one in ask(kind, lambda client: client.products(), url)}
    assert (found["support"].status, found["support"].labels) == ("serving", ["fee", "card", "other"])
    assert found["support"].inputs["required"] == ["text"]
    assert found["failed"].status == "refused"
    assert found["failed"].reason
    assert found["failed"].reason["error"] == "GateFailed"
    vectors = ask(kind, lambda client: client.embeddings("support", ["aab", "c"]), url)
    assert vectors == [[2, 1, 0, 3], [0, 0, 1, 1]]


@BOTH
def test_a_stream_is_sent_in_parts_and_read_as_it_goes(
    kind: Kind, url: str, faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    faulty.faults = ["drop"]
    rows = [{"text": "abc"[n % 3] * 2, "at": n} for n in range(10)]
    pairs = ask(kind, lambda client: client.stream("many", iter(rows)), url)
    assert [row for row, _ in pairs] == rows
    assert [a.label for _, a in pairs] == [f"l{n % 3}" for n in range(10)]
    assert {(a.product, a.version) for _, a in pairs} == {("many", "v1")}
    keys = [seen["idempotency-key"] for seen in faulty.seen]
    assert len(keys) == 4  # three parts, one of them twice
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_stream_takes_no_more_rows_than_it_needs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    endless = itertools.count()
    with Client(url) as client:
        pairs = client.stream("many", ({"text": "a"} for _ in endless))
        assert len(list(itertools.islice(pairs, 6))) == 6
    assert next(endless) <= 9


@BOTH
@pytest.mark.parametrize(
    "faults", [["drop"], [(503, {}), (503, {})], [(429, {})], ["drop", (503, {}), "drop"], ["hang"]]
)
def test_what_passes_is_tried_again_with_the_same_key(
    kind: Kind, url: str, faulty: Faulty, faults: list[Any]
) -> None:
    faulty.faults = list(faults)
    one = ask(kind, lambda client: client.predict("support", {"text": "a"}), url, timeout=0.5)
    assert one.label == "fee"
    assert len(faulty.seen) == len(faults) + 1
    assert len({seen["idempotency-key"] for seen in faulty.seen}) == 1
    again = ask(kind, lambda client: client.predict("support", {"text": "a"}), url)
    assert again == one
    assert faulty.seen[-1]["idempotency-key"] != faulty.seen[0]["idempotency-key"]


@BOTH
def test_retry_after_is_honoured_and_a_deadline_kept(kind: Kind, url: str, faulty: Faulty) -> None:
    faulty.faults = [(503, {"retry-after": "1"})]
    began = time.monotonic()
    ask(kind, lambda client: client.predict("support", {"text": "a"}), url)
    assert 1.0 <= time.monotonic() - began < 3.0
    faulty.faults = [(503, {"retry-after": "3600"})] * 3
    began = time.monotonic()
    with pytest.raises(OverloadedError, match="not now") as caught:
        ask(kind, lambda client: client.predict("support", {"text": "a"}), url, deadline=2.0)
    assert time.monotonic() - began < 2.0  # an hour is past the deadline: why wait?
    assert (caught.value.status, caught.value.retry_after) == (503, 3600)
    assert len(faulty.faults) == 2


@BOTH
def test_the_server_is_told_how_long_anybody_waits(kind: Kind, url: str, faulty: Faulty) -> None:
    ask(kind, lambda client: client.products(), url, timeout=5.0, deadline=2.0)
    assert 1500 < int(faulty.seen[0]["x-timeout-ms"]) <= 2000


@BOTH
def test_problems_are_raised_as_they_were_told(kind: Kind, url: str, faulty: Faulty) -> None:
    with pytest.raises(ProblemError) as caught:
        ask(kind, lambda client: client.predict("suport", {"text": "a"}), url)
    error = caught.value
    assert isinstance(error, TrunklineError)
    assert (error.status, error.type, error.title) == (
        404, "urn:trunkline:unknown-product", "no product is called 'suport'",
    )  # fmt: skip
    assert error.hint == "did you mean 'support'?"
    assert error.instance == "/v1/products/suport/predict"
    assert len(error.request_id) == 32
    with pytest.raises(ProblemError) as caught:  # 503, but a bundle that may not serve won't mend itself
        ask(kind, lambda client: client.predict("failed", {"text": "a"}), url)
    assert caught.value.status == 503
    with pytest.raises(ProblemError, match="no model is called 'gpt'"):  # OpenAI's form of errors
        ask(kind, lambda client: client.embeddings("gpt", ["a"]), url)
    assert len(faulty.seen) == 3


@BOTH
def test_nobody_there(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_random_wait", lambda state: 0.1)
    with pytest.raises(UnreachableError) as caught:
        ask(kind, lambda client: client.products(), "http://127.0.0.1:9", deadline=0.35)
    assert caught.value.where == "http://127.0.0.1:9"
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="UnsupportedProtocol"):
        ask(kind, lambda client: client.products(), "localhost:8000")
    assert time.monotonic() - began < 1.0  # no use in trying that again


@BOTH
def test_address_and_key_from_the_environment(
    kind: Kind, url: str, faulty: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUNKLINE_URL", url + "/")
    monkeypatch.setenv("TRUNKLINE_KEY", "tk_1")
    ask(kind, lambda client: client.products())
    assert faulty.seen[0]["authorization"] == "Bearer tk_1"
    ask(kind, lambda client: client.products(), url, "tk_2")
    assert faulty.seen[1]["authorization"] == "Bearer tk_2"
    own = {"idempotency_key": "order-1"}
    ask(kind, lambda client: client.predict("many", {"text": "a"}, all_scores=True, **own), url)
    assert faulty.seen[2]["idempotency-key"] == "order-1"


def test_the_wait_is_random_under_a_bound_that_doubles() -> None:
    import tenacity

    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    for attempt, bound in ((1, 0.2), (2, 0.4), (3, 0.8), (20, 10.0)):
        state.attempt_number = attempt
        waits = [sending._random_wait(state) for _ in range(200)]
        assert 0 <= min(waits) < bound / 4
        assert bound * 0.75 < max(waits) <= bound


def test_a_date_is_read_too_and_nonsense_is_not() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert errors.problem(503, {"retry-after": soon}, b"<html>").retry_after == pytest.approx(30, abs=2)
    found = errors.problem(503, {"retry-after": "soon", "x-request-id": "r"}, b"[1]")
    assert (found.retry_after, found.request_id, found.what) == (None, "r", "the server answered 503")
    running = errors.problem(409, {}, b'{"type": "urn:trunkline:still-running"}')
    assert isinstance(running, OverloadedError)
    assert not isinstance(errors.problem(409, {}, b"{}"), OverloadedError)


def test_fields_of_a_strange_task_are_kept_and_strange_answers_refused() -> None:
    found = results.answer({"product": "p", "status": "ok", "grade": {"of": 7}})
    assert found.more == {"grade": {"of": 7}}
    with pytest.raises(RequestError, match="the answer can't be read"):
        results.answer({"product": "p", "status": "fine"})
    with pytest.raises(RequestError, match="the answer can't be read"):
        results.answers(b"<html>", {})


def test_both_have_the_same_calls() -> None:
    def calls(kind: Kind) -> dict[str, list[str]]:
        public = {name: f for name, f in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}
        return {name: list(inspect.signature(f).parameters) for name, f in public.items()}

    assert calls(Client) == calls(AsyncClient)
    rows = {"predict", "why", "matrix", "products", "embeddings", "stream"}
    jobs = {"submit", "job", "jobs", "wait", "download", "answers", "cancel", "delete"}
    assert set(calls(Client)) == rows | jobs | {"close"}


def test_it_loads_on_use_and_says_what_is_missing() -> None:
    code = "import sys, trunkline; assert 'httpx' not in sys.modules; trunkline.Client().close(); assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1], timeout=30)
    code = "import sys; sys.modules['httpx'] = None\nimport trunkline; trunkline.Client"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert "pip install 'trunkline[client]'" in done.stderr
