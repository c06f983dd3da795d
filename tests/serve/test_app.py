from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.testclient import TestClient
from starlette.types import Message
from tests.serve.parts import ToyTable, make_product

from trunkline.errors import TrunklineError
from trunkline.serve import wire
from trunkline.serve.app import build
from trunkline.serve.limits import Limits
from trunkline.serve.live import LiveCatalog
from trunkline.serve.problems import STATUS, status_of

PREDICT = "/v1/products/support/predict"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    make_product(tmp_path, "support", labels=("fee", "<script>alert(1)</script>", "other"))
    make_product(
        tmp_path, "risk", inputs={"amount": "number"}, head=ToyTable("amount", [1.0]), labels=("高", "低")
    )
    make_product(tmp_path, "failed", passed=False)
    limits = Limits(body_bytes=20_000, rows=10)
    app = build(LiveCatalog(tmp_path), limits)
    with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def problem(reply: Any, status: int) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = reply.json()
    assert body["status"] == status
    assert body["title"]
    assert body["request_id"] == reply.headers["x-request-id"]
    return body


def test_predict_one_and_many(client: TestClient) -> None:
    reply = client.post(PREDICT, json={"rows": [{"text": "aa"}, {"text": "ccc"}], "user": "u1"})
    assert reply.status_code == 200
    body = reply.json()
    assert (body["product"], body["version"]) == ("support", "v1")
    assert [a["label"] for a in body["answers"]] == ["fee", "other"]
    assert set(body["answers"][0]) == {"id", "status", "label", "scores"}
    one = client.post("/v1/products/risk/predict", json={"row": {"amount": "1,200"}}).json()
    assert one["answers"][0]["label"] == "高"


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "not JSON"),
        (b'{"rows": [{"text": NaN}]}', 400, "not JSON"),
        (b'{"rows": [{"text": "\\ud800"}]}', 400, "not JSON"),
        (b'{"rows": ' + b"[" * 9_000 + b"]" * 9_000 + b"}", 400, "nested too deep"),
        (b"\xff\xfe\x00", 400, "not JSON"),
        (b"[]", 422, "wanted shape"),
        (b"{}", 422, "either rows or row"),
        (b'{"rows": [], "row": {}}', 422, "either rows or row"),
        (b'{"rows": {"text": "a"}}', 422, "wanted shape"),
        (b'{"rowz": []}', 422, "wanted shape"),
        (b'{"rows": [{"txt": "a"}]}', 422, "no column 'text'"),
        (b'{"rows": [' + b"1," * 10 + b"1]}", 413, "too many rows"),
        (b'{"rows": ["' + b"a" * 20_000 + b'"]}', 413, "too large"),
    ],
)
def test_bad_bodies(client: TestClient, body: bytes, status: int, says: str) -> None:
    found = problem(client.post(PREDICT, content=body), status)
    assert says in found["title"]
    assert found["instance"] == PREDICT


@pytest.mark.parametrize("route", [PREDICT, "/v1/matrix/predict", "/v1/embeddings", "/v2/models/support/infer"])
def test_a_file_or_a_form_where_rows_are_wanted(client: TestClient, route: str) -> None:
    picture = client.post(route, content=b"\xff\xd8\xff\xe0", headers={"content-type": "image/jpeg"})
    assert (picture.status_code, "not JSON" in picture.text) == (415, False)
    assert "image/jpeg" in picture.text
    form = client.post(route, files={"text": ("a.txt", b"aa")})
    assert form.status_code == (200 if route == PREDICT else 415), form.text
    assert route == PREDICT or "/v1/products/{name}/predict takes a form" in form.text or "takes no form" in form.text


def test_a_form_s_wrong_part_is_told_with_the_nearest(client: TestClient) -> None:
    found = problem(client.post(PREDICT, files={"txet": ("a.txt", b"aa")}), 422)
    assert (found["found"], found["try"]) == ("'txet'", "did you mean 'text'?")



@pytest.mark.parametrize("header", ["0", "-1", "1.5", "soon", "٣", "9" * 5_000])
def test_a_deadline_that_cant_be_read(client: TestClient, header: str) -> None:
    reply = client.post(PREDICT, json={"row": {"text": "a"}}, headers={b"x-timeout-ms": header.encode()})
    assert "x-timeout-ms" in problem(reply, 422)["title"]


def test_a_large_body_in_chunks_is_cut_off(client: TestClient) -> None:
    taken, sent = 0, []

    async def receive() -> Message:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"a" * 1_000, "more_body": taken < 100}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": PREDICT, "query_string": b"", "headers": []}
    call = partial(client.app, scope, receive, send)  # the client itself would join the chunks
    anyio.run(call)
    assert sent[0]["status"] == 413
    assert taken == 21  # of 100 chunks: the limit is 20,000 bytes


def test_problems_say_what_to_try(client: TestClient) -> None:
    found = problem(client.post("/v1/products/suport/predict", json={"rows": []}), 404)
    assert found["type"] == "urn:trunkline:unknown-product"
    assert found["try"] == "did you mean 'support'?"
    found = problem(client.post("/v1/products/failed/predict", json={"rows": []}), 503)
    assert found["type"] == "urn:trunkline:unavailable"
    assert "no bundle of this product passed its gate" in found["title"]
    found = problem(client.post(PREDICT, json={"rows": [{"txt": "a"}]}), 422)
    assert found["found"] == "'txt'"
    found = problem(client.post(PREDICT + "?scores=none", json={"rows": []}), 422)
    assert found["wanted"] == "top | all"


def test_unknown_routes_and_methods(client: TestClient) -> None:
    problem(client.get("/nothing"), 404)
    assert problem(client.get(PREDICT), 405)["detail"].startswith("GET")


def test_a_head_that_breaks_is_a_500_without_rows(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    found = problem(client.post(PREDICT, json={"rows": [{"text": "break"}]}), 500)
    assert "secret" not in json.dumps(found)
    assert client.post(PREDICT, json={"rows": [{"text": "a"}]}).status_code == 200


def test_request_ids(client: TestClient) -> None:
    def sent(header: str | None, body: str | None) -> str:
        headers = {} if header is None else {"x-request-id": header}
        content = {"rows": [{"text": "a"}]} | ({} if body is None else {"request_id": body})
        return str(client.post(PREDICT, json=content, headers=headers).headers["x-request-id"])

    assert sent("abc-1", None) == "abc-1"
    assert sent(None, "r7") == "r7"
    assert re.fullmatch("[0-9a-f]{32}", sent(None, None))
    assert re.fullmatch("[0-9a-f]{32}", sent("a b", None))
    assert re.fullmatch("[0-9a-f]{32}", sent(None, "evil\r\nset-cookie: x"))


def test_matrix(client: TestClient) -> None:
    found = client.post("/v1/matrix/predict", json={"row": {"question": "aaa"}}).json()["answers"]
    assert [(a["product"], a["status"], a["label"]) for a in found] == [("support", "ok", "fee")]
    named = {"row": {"amount": -1}, "products": ["risk", "failed", "nobody"]}
    found = client.post("/v1/matrix/predict", json=named).json()["answers"]
    assert [a.get("error", a.get("label")) for a in found] == ["低", "unavailable", "unknown_product"]
    problem(client.post("/v1/matrix/predict", json={}), 422)


def test_products_are_listed(client: TestClient) -> None:
    listed = client.get("/v1/products").json()["products"]
    assert [(p["name"], p["status"]) for p in listed] == [
        ("risk", "serving"),
        ("support", "serving"),
        ("failed", "refused"),
    ]
    assert listed[0]["labels"] == ["高", "低"]
    assert listed[0]["inputs"]["required"] == ["amount"]
    assert re.fullmatch("[0-9a-f]{64}", listed[0]["digest"])
    assert "gate" in listed[2]["reason"]["what"]


def test_health(client: TestClient) -> None:
    found = client.get("/healthz").json()
    assert (found["status"], found["products"], found["refused"]) == ("degraded", 2, 1)


def test_the_report_runs_only_its_own_scripts(client: TestClient) -> None:
    reply = client.get("/v1/products/support/report")
    assert "my own row" in reply.text
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "'sha256-a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s='" in policy  # of "1"
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    problem(client.get("/v1/products/nobody/report"), 404)


def test_docs_hold_nothing_of_a_customer(client: TestClient) -> None:
    assert client.get("/", follow_redirects=False).headers["location"] == "/docs"
    reply = client.get("/docs")
    assert "alert(1)" not in reply.text
    assert "http://" not in reply.text.replace("http://www.w3.org", "")
    assert "https://" not in reply.text
    assert "innerHTML" not in reply.text
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_openapi_examples_are_true(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    own = {path: one for path, one in document["paths"].items() if path.endswith("/predict")}
    posts = {path: one["post"] for path, one in own.items()}
    assert set(posts) == {PREDICT, "/v1/products/risk/predict", "/v1/matrix/predict"}
    for path, operation in posts.items():
        request = operation["requestBody"]["content"]["application/json"]["example"]
        wanted = operation["responses"]["200"]["content"]["application/json"]["example"]
        assert client.post(path, json=request).json() == wanted
        assert all(answer["status"] == "ok" for answer in wanted["answers"])


def test_openapi_names_every_route(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    listed = {re.sub(r"products/\w+/(predict|why)$", r"products/{name}/\1", path) for path in paths}
    app: Any = client.app
    routes = {route.path for route in app.app.app.routes} - {"/", "/docs"}
    assert listed == routes
    page = "".join(Path(f"docs/{name}.md").read_text(encoding="utf-8") for name in ("http", "protocols"))
    missing = {route for route in routes | {"/docs"} if route not in page and route.replace("{name}", "{m}") not in page}
    assert not missing


def test_every_error_has_a_status() -> None:
    assert status_of(TrunklineError("x")) == 500
    assert status_of(ValueError("x")) == 500
    own = [
        kind for kind in vars(wire).values() if isinstance(kind, type) and issubclass(kind, TrunklineError)
    ]
    assert len(own) == 15
    assert all(kind in STATUS for kind in own)


def test_the_log_has_the_call_but_not_the_row(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "trunkline.serve"):
        client.post(PREDICT, json={"rows": [{"text": "my private text aa"}]}, headers={"x-request-id": "q1"})
        client.post(PREDICT, json={"rows": [{"text": "break"}]})
    fields = [vars(record)["fields"] for record in caplog.records]
    assert fields[0] | {"ms": 0} == {
        "request_id": "q1",
        "product": "support",
        "rows": 1,
        "method": "POST",
        "path": PREDICT,
        "status": 200,
        "ms": 0,
    }
    assert [f.get("error") for f in fields] == [None, "ValueError", None]
    assert "private" not in str(fields)
    assert "secret" not in str(fields)
    assert "parts.py" in fields[1]["places"][-1]


@pytest.mark.parametrize("header", [{"host": "evil.example"}, {"origin": "http://evil.example"}, {"origin": "null"}])
def test_without_keys_no_other_site_may_call(client: TestClient, header: dict[str, str]) -> None:
    found = client.post("/v2/repository/models/support/unload", headers=header)
    assert found.status_code == 403
    assert client.get("/v1/products", headers=header).status_code == 403
    own = client.post(PREDICT, json={"row": {"text": "a"}}, headers={"origin": "http://localhost:3000"})
    assert own.status_code == 200
