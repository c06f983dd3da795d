"""The document names every route of the protocols."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
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
