"""The document and docs/http.md name every route of bulk jobs, and strange calls of them are never a 500."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.serve.jobs.made import csv_rows, ended, shown, submitted
from tests.serve.parts import make_product

from trunkline.serve.app import Server, build
from trunkline.serve.jobs.routes import Jobs
from trunkline.serve.limits import Limits
from trunkline.serve.live import LiveCatalog
from trunkline.serve.openapi_jobs import JOB, job_paths

PATHS = job_paths(Limits())
CALLS = [(path, method, one) for path, methods in PATHS.items() for method, one in methods.items()]
PAGE = Path(__file__).parents[3] / "docs" / "http.md"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    make_product(tmp_path, "support")
    app = build(LiveCatalog(tmp_path), Limits(job_bytes=1_000, jobs=500))
    with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def test_every_route_is_in_the_document_and_on_the_page(tmp_path: Path) -> None:
    make_product(tmp_path, "support")
    routes = Jobs(Server(LiveCatalog(tmp_path), Limits()), None).routes()
    served = {(route.path, method.lower()) for route in routes for method in (route.methods or set()) - {"HEAD"}}
    assert served == {(path, method) for path, method, _ in CALLS}
    page = PAGE.read_text(encoding="utf-8")
    assert not [path for path, method in served if f"`{method.upper()} {path}`" not in page]
    assert not [name for name in JOB["properties"] if f"`{name}`" not in page]


def test_a_job_is_as_the_document_says(client: TestClient) -> None:
    job = submitted(client, csv_rows(5))
    for one in (job, ended(client, job["id"]), shown(client, job["id"])):
        assert list(one) == list(JOB["properties"])
    document = client.get("/openapi.json").json()
    assert set(PATHS) <= set(document["paths"])


WORDS = st.sampled_from(["support", "x", "%00", "退款", "0" * 32, "..", ""]) | st.text(max_size=5)
HEADERS: Any = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(["text/csv", "text/csv; charset=\\", "application/x-ndjson", "a/b", "", "text/csv;;"]),
        "content-encoding": st.sampled_from(["gzip", "identity"]),
        "idempotency-key": st.sampled_from(["k", "", " ", "x" * 300]),
        "accept": st.sampled_from(["text/csv", "application/vnd.apache.parquet;q=0", ",", "*/*"]),
        "x-timeout-ms": st.just("soon"),
    },
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call=st.sampled_from(CALLS), word=WORDS, headers=HEADERS, query=WORDS, body=st.binary(max_size=40))
def test_strange_calls(
    client: TestClient, call: tuple[str, str, Any], word: str, headers: dict[str, str], query: str, body: bytes
) -> None:
    path, method, operation = call
    url = path.replace("{name}", quote(word, safe="%")).replace("{id}", quote(word, safe="%"))
    names = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
    reply = client.request(method, url, params=dict.fromkeys(names, query), headers=headers, content=body)
    assert reply.status_code < 500, (url, reply.text)
    assert str(reply.status_code) in {*operation["responses"], "404", "405", "307"}, (url, reply.text)
