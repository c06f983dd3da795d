"""OpenAI's own client against the server, and errors in OpenAI's form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.serve.live import app_of, live
from tests.serve.parts import ToyTable, make_product

from trunkline.serve import embeddings
from trunkline.serve.app import Server
from trunkline.serve.limits import Limits
from trunkline.serve.live import LiveCatalog

PATH = "/v1/embeddings"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    make_product(tmp_path, "support")
    make_product(
        tmp_path, "risk", inputs={"amount": "number"}, head=ToyTable("amount", [1.0]), labels=("a", "b")
    )
    make_product(tmp_path, "failed", passed=False)
    return Server(LiveCatalog(tmp_path), Limits(body_bytes=100_000, rows=50))


@pytest.fixture
def client(server: Server) -> Iterator[TestClient]:
    with TestClient(app_of(embeddings.routes(server)), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("model", ["toy", "support"])
def test_openais_own_client(server: Server, model: str) -> None:
    with (
        live(app_of(embeddings.routes(server))) as address,
        openai.OpenAI(base_url=f"http://{address}/v1", api_key="none", max_retries=0) as client,
    ):
        texts = ["aab", "退款 c", *["bb"] * 30]
        plain = client.embeddings.create(model=model, input=texts, encoding_format="float")
        packed = client.embeddings.create(model=model, input=texts)  # the client itself asks for base64
        assert [one.embedding for one in packed.data] == [one.embedding for one in plain.data]
        assert plain.data[0].embedding == [2, 1, 0, 3]
        assert plain.data[1].embedding == [0, 0, 1, 4]
        assert [one.index for one in plain.data] == list(range(32))
        assert (plain.object, plain.model) == ("list", model)
        assert plain.usage.prompt_tokens == plain.usage.total_tokens == 3 + 4 + 60  # ToyEngine.cost: signs
        one = client.embeddings.create(model=model, input="c", dimensions=4, user="u")
        assert np.array_equal(one.data[0].embedding, [0, 0, 1, 1])

        assert sorted(found.id for found in client.models.list()) == ["support", "toy"]
        with pytest.raises(openai.NotFoundError) as caught:
            client.embeddings.create(model="tyo", input="a")
        assert caught.value.code == "model_not_found"
        assert "did you mean 'toy'?" in caught.value.message
        with pytest.raises(openai.BadRequestError, match="empty") as refused:
            client.embeddings.create(model=model, input=["a", " "])
        assert refused.value.param == "input[1]"


@pytest.mark.parametrize(
    ("body", "status", "param", "says"),
    [
        (b"{", 400, None, "not JSON"),
        (b'{"model": "toy", "input": [NaN]}', 400, None, "not JSON"),
        (b"[" * 9_000 + b"]" * 9_000, 400, None, ""),
        ({"model": "toy"}, 400, None, "missing required field `input`"),
        ({"model": "toy", "input": []}, 400, "input", "there is no text"),
        ({"model": "toy", "input": [1, 2]}, 400, "$.input[0]", "Expected `str`"),
        ({"model": "toy", "input": [[1, 2]]}, 400, "$.input[0]", "Expected `str`"),
        ({"model": "toy", "input": "a", "encoding_format": "int8"}, 400, "$.encoding_format", "int8"),
        ({"model": "toy", "input": "a", "dimensions": 3}, 400, "dimensions", "wanted 4"),
        ({"model": "toy", "input": "a", "dimensions": True}, 400, "$.dimensions", "Expected `int"),
        ({"model": "toy", "input": "a", "input_type": "query"}, 400, None, "input_type"),
        ({"model": "risk", "input": "a"}, 400, "model", "no text trunk"),
        ({"model": "x" * 500, "input": "a"}, 404, "model", "no model is called"),
        ({"model": "failed", "input": "a"}, 503, None, "can't serve"),
        ({"model": "toy", "input": ["a"] * 51}, 413, None, "at most 50"),
        ({"model": "toy", "input": "a" * 100_001}, 413, None, "too large"),
    ],
)
def test_errors_are_openais(client: TestClient, body: Any, status: int, param: str | None, says: str) -> None:
    reply = client.post(PATH, content=body if isinstance(body, bytes) else json.dumps(body))
    assert reply.status_code == status, reply.text
    found = reply.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    assert found["param"] == param
    assert says in found["message"]
    assert found["type"] == ("server_error" if status == 503 else "invalid_request_error")
    assert ("retry-after" in reply.headers) == (status == 503)


def test_a_text_is_the_same_alone_and_among_others(client: TestClient) -> None:
    texts = [f"{'ab' * n}c" for n in range(1, 40)]
    together = client.post(PATH, json={"model": "toy", "input": texts}).json()["data"]
    for at in (0, 17, 38):
        (alone,) = client.post(PATH, json={"model": "toy", "input": texts[at]}).json()["data"]
        assert alone["embedding"] == together[at]["embedding"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.fixed_dictionaries(
        {"model": st.sampled_from(["toy", "support", "risk"]) | values, "input": values | st.lists(st.text(), max_size=3)},
        optional=dict.fromkeys(("encoding_format", "dimensions", "user"), values),
    )
)  # fmt: skip
def test_nothing_that_is_sent_breaks_it(client: TestClient, body: Any) -> None:
    reply = client.post(PATH, content=json.dumps(body))
    assert reply.status_code < 500, reply.text
