"""The document names every route of the protocols, and requests drawn from its schemas are never a 5xx."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import Route
from starlette.testclient import TestClient
from tests.serve.live import app_of
from tests.serve.parts import make_product

from trunkline.serve import embeddings, meters, oip
from trunkline.serve.app import Server
from trunkline.serve.limits import Limits
from trunkline.serve.live import LiveCatalog
from trunkline.serve.meters import Meter
from trunkline.serve.openapi_protocols import protocol_paths


class Nothing:
    def load(self, name: str) -> None: ...

    def unload(self, name: str) -> None: ...


@pytest.fixture
def routes(tmp_path: Path) -> list[Route]:
    make_product(tmp_path, "support")
    server = Server(LiveCatalog(tmp_path), Limits(rows=50))
    meter = Meter({"support"}.__contains__, dict)
    return [*oip.routes(server, Nothing()), *embeddings.routes(server), *meters.routes(meter)]


@pytest.fixture
def client(routes: list[Route]) -> Iterator[TestClient]:
    with TestClient(app_of(routes), raise_server_exceptions=False) as client:
        yield client


def test_every_route_is_in_the_document(routes: list[Route]) -> None:
    served = {(route.path, (route.methods or set()) - {"HEAD"} == {"POST"}) for route in routes}
    assert {(path, "post" in operations) for path, operations in protocol_paths(True).items()} == served
    assert len(
        {one["operationId"] for path in protocol_paths(True).values() for one in path.values()}
    ) == len(served)
    assert not [path for path in protocol_paths(False) if path.endswith("load")]


def test_gets_answer(client: TestClient) -> None:
    for path, operations in protocol_paths(True).items():
        if "get" in operations:
            url = path.replace("{name}", "support").replace("{version}", "v1")
            assert client.get(url).status_code == 200, url


def drawn(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a schema, now and then of another."""
    wrong = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=5)
        | st.lists(st.none(), max_size=2)
    )
    match schema.get("type"):
        case "object":
            needed = {name: drawn(part) for name, part in schema.get("properties", {}).items()}
            right: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional=needed)
        case "array":
            right = st.lists(drawn(schema.get("items", {})), max_size=3)
        case "string":
            right = st.sampled_from(["text", "support", "toy", "BYTES", "label"]) | st.text(max_size=5)
        case "integer":
            right = st.integers()
        case _:
            right = st.one_of(*map(drawn, schema["anyOf"])) if "anyOf" in schema else wrong
    return right | right | wrong


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_posts_drawn_from_the_schemas_are_never_5xx(client: TestClient, data: st.DataObject) -> None:
    posts = {path: one["post"] for path, one in protocol_paths(True).items() if "post" in one}
    path = data.draw(st.sampled_from(sorted(posts)))
    body = data.draw(drawn(posts[path]["requestBody"]["content"]["application/json"]["schema"]))
    url = path.replace("{name}", data.draw(st.sampled_from(["support", "x", "%00", "退款"]))).replace(
        "{version}", "v1"
    )
    reply = client.post(url, content=json.dumps(body))
    assert reply.status_code < 500, (url, reply.text)
    assert str(reply.status_code) in posts[path]["responses"]
