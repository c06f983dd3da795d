from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from trunkline.errors import TrunklineError
from trunkline.serve.app import caller_of
from trunkline.serve.auth import (
    FRESH_SECONDS,
    Auth,
    Keys,
    needed_scope,
)
from trunkline.serve.log import Envelope
from trunkline.serve.problems import problem
from trunkline.serve.run import check_binding
from trunkline.store.callers import add_key, revoke_key
from trunkline.store.database import Store, open_store
from trunkline.store.place import StoreError

PREDICT = "/v1/products/客服/predict"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


@pytest.fixture
def client(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """Every route answers who called."""

    async def who(request: Request) -> Response:
        caller = caller_of(request)
        return JSONResponse([caller.name, caller.organisation, sorted(caller.scopes)])

    app = Starlette(routes=[Route("/{path:path}", who, methods=["GET", "POST", "DELETE"])])
    with TestClient(Envelope(Auth(app, Keys(store, clock), problem)), "http://127.0.0.1") as client:
        yield client


def made(store: Store, *scopes: str, days: float | None = None) -> dict[str, str]:
    """The header of a new key."""
    now = datetime.now(UTC)
    expires = None if days is None else now + timedelta(days=days)
    secret, _ = add_key(store, "app", "acme", scopes or ("predict",), now, expires)
    return {"authorization": f"Bearer {secret}"}


def test_without_any_key_everybody_may(client: TestClient) -> None:
    assert client.post(PREDICT).json() == ["anonymous", "", ["predict"]]


def test_the_holder_of_a_key_is_the_caller(client: TestClient, store: Store) -> None:
    assert client.post(PREDICT, headers=made(store)).json() == ["app", "acme", ["predict"]]


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer tl_" + "a" * 43, "Basic dGw6YQ==", "Bearer 钥匙", "tl_" + "a" * 43]
)
def test_no_key_or_a_wrong_one_is_401(client: TestClient, store: Store, header: str | None) -> None:
    made(store)
    given = [] if header is None else [(b"authorization", header.encode())]
    response = client.post(PREDICT, headers=given)
    assert response.status_code == 401
    challenge = response.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="trunkline"')
    assert ('error="invalid_token"' in challenge) == bool(header and header.startswith("Bearer"))
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == 401
    assert response.json()["request_id"] == response.headers["x-request-id"]


def test_two_keys_in_one_call_are_none(client: TestClient, store: Store) -> None:
    (value,) = made(store).values()
    headers = [("authorization", value), ("authorization", value)]
    assert client.post(PREDICT, headers=headers).status_code == 401


def test_a_key_that_was_not_made_for_this_is_403(client: TestClient, store: Store) -> None:
    response = client.get("/v1/products", headers=made(store, "predict"))
    assert response.status_code == 403
    assert response.headers["www-authenticate"] == 'Bearer realm="trunkline", error="insufficient_scope", scope="read"'
    assert response.json()["wanted"] == "read"
    assert client.get("/v1/products", headers=made(store, "read")).status_code == 200


def test_admin_includes_the_others(client: TestClient, store: Store) -> None:
    admin = made(store, "admin")
    assert client.get("/v1/products", headers=admin).status_code == 200
    assert client.post(PREDICT, headers=admin).status_code == 200
    assert client.post("/v1/admin/reload", headers=admin).status_code == 200
    assert client.post("/v1/admin/reload", headers=made(store, "predict", "read")).status_code == 403


def test_health_and_docs_stay_open(client: TestClient, store: Store) -> None:
    made(store)
    for path in ("/", "/docs", "/healthz", "/v2/health/live", "/v2/health/ready"):
        assert client.get(path).status_code == 200, path
    for path in ("/v1/products", "/openapi.json", "/metrics", "/docs/x", "/healthz/", "/v2/health/x"):
        assert client.get(path).status_code == 401, path


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/products/a/predict", "predict"),
        ("POST", "/v1/matrix/predict", "predict"),
        ("POST", "/v1/embeddings", "predict"),
        ("POST", "/v2/models/a/infer", "predict"),
        ("DELETE", "/v1/jobs/a", "predict"),
        ("GET", "/v1/jobs/a", "predict"),  # who may send rows may fetch their answers, and nobody else
        ("GET", "/v1/jobs", "predict"),
        ("GET", "/v1/jobsx", "read"),
        ("GET", "/metrics", "read"),
        ("HEAD", "/v1/products", "read"),
        ("POST", "/v2/repository/index", "read"),
        ("POST", "/v2/repository/models/a/load", "admin"),
        ("POST", "/v2/repository/models/a/unload", "admin"),
        ("GET", "/v1/admin/usage", "admin"),
        ("GET", "/no/such/route", "read"),
        ("POST", "/v1/products/客服/jobs", "predict"),
    ],
)
def test_what_a_key_must_be_made_for(method: str, path: str, scope: str) -> None:
    assert needed_scope(method, path) == scope


def test_a_revoked_key_ends_within_seconds(client: TestClient, store: Store, clock: Clock) -> None:
    header = made(store)
    assert client.post(PREDICT, headers=header).status_code == 200
    revoke_key(store, header["authorization"].removeprefix("Bearer "), datetime.now(UTC))
    clock.now += FRESH_SECONDS - 0.1
    assert client.post(PREDICT, headers=header).status_code == 200  # remembered
    clock.now += 0.2
    assert client.post(PREDICT, headers=header).status_code == 401
    assert client.post(PREDICT).status_code == 401  # the last key is gone, and the server stays closed


def test_an_expired_key_ends_at_once(client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a remembered one."""

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return super().now(tz) + timedelta(days=1)

    header = made(store, days=0.9)
    assert client.post(PREDICT, headers=header).status_code == 200
    monkeypatch.setattr("trunkline.serve.auth.datetime", Tomorrow)
    assert client.post(PREDICT, headers=header).status_code == 401


def test_the_first_key_closes_a_running_server(client: TestClient, store: Store, clock: Clock) -> None:
    assert client.post(PREDICT).status_code == 200
    made(store)
    clock.now += FRESH_SECONDS
    assert client.post(PREDICT).status_code == 401


def test_a_known_key_is_not_looked_up_again(client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    header = made(store)
    assert client.post(PREDICT, headers=header).status_code == 200
    monkeypatch.setattr("trunkline.store.callers.find_key", lambda *_: pytest.fail("the store was asked"))
    assert client.post(PREDICT, headers=header).status_code == 200


def test_a_store_that_is_gone_lets_nobody_in(client: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    header = made(store)

    def gone(*_: object) -> None:
        raise StoreError("the store can't be read or written")

    monkeypatch.setattr("trunkline.store.callers.find_key", gone)
    response = client.post(PREDICT, headers=header)
    assert response.status_code >= 500
    assert response.json()["title"] == "the store can't be read or written"


def test_other_than_http_passes(store: Store) -> None:
    """Start and end of the server are no calls."""
    app = Auth(Starlette(), Keys(store), problem)
    with TestClient(app, "http://127.0.0.1"):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_loopback_wants_no_key(host: str) -> None:
    check_binding(host, lambda: False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "example.org", "localhost.example.org"])
def test_other_addresses_want_a_key(host: str) -> None:
    with pytest.raises(TrunklineError, match="this machine only") as caught:
        check_binding(host, lambda: False)
    assert "trunkline keys add" in caught.value.hint
    check_binding(host, lambda: True)
