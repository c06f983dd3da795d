"""The protocol as Triton's own client speaks it, and what it must refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.serve.live import app_of, live
from tests.serve.parts import ToyTable, make_product
from tritonclient.utils import InferenceServerException

from trunkline.heads import HEADS
from trunkline.serve import oip
from trunkline.serve.app import Server
from trunkline.serve.limits import Limits
from trunkline.serve.live import LiveCatalog
from trunkline.serve.wire import UnknownProductError
from trunkline.types import Prediction, Program

INFER = "/v2/models/support/infer"
LABELS = ("fee", "卡", "other")


class Shelves:
    """A repository that only remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def load(self, name: str) -> None:
        if name == "nothing":
            raise UnknownProductError("no product is called 'nothing'")
        self.asked.append(("load", name))

    def unload(self, name: str) -> None:
        self.asked.append(("unload", name))


@pytest.fixture
def server(tmp_path: Path) -> Server:
    make_product(tmp_path, "support", labels=LABELS)
    kinds = {"amount": "number", "when": "date", "plan": "category", "paid": "bool"}
    make_product(tmp_path, "risk", inputs=kinds, head=ToyTable("amount", [1.0]), labels=("high", "low"))
    make_product(tmp_path, "failed", passed=False)
    return Server(LiveCatalog(tmp_path), Limits(body_bytes=100_000, rows=50))


@pytest.fixture
def repository() -> Shelves:
    return Shelves()


@pytest.fixture
def client(server: Server, repository: Shelves) -> Iterator[TestClient]:
    with TestClient(app_of(oip.routes(server, repository)), raise_server_exceptions=False) as client:
        yield client


def texts(*cells: str) -> dict[str, Any]:
    return {"name": "text", "shape": [len(cells)], "datatype": "BYTES", "data": list(cells)}


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_own_client(server: Server, repository: Shelves, binary: bool) -> None:
    with live(app_of(oip.routes(server, repository))) as address:
        client = triton.InferenceServerClient(address)
        try:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("support")
            assert client.is_model_ready("support", "v1")
            assert not client.is_model_ready("failed")
            assert client.get_server_metadata()["extensions"] == ["binary_tensor_data", "model_repository"]
            described = client.get_model_metadata("support")
            assert described["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
            assert described["outputs"][1] == {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3]}

            cells = np.array(["aaa", "退款 bb", ""], dtype=object)
            text = triton.InferInput("text", [3], "BYTES")
            text.set_data_from_numpy(cells, binary_data=binary)
            wanted = [
                triton.InferRequestedOutput(n, binary_data=binary)
                for n in ("label", "probabilities", "error")
            ]
            result = client.infer("support", [text], outputs=wanted, request_id="q7")
            assert result.get_response()["id"] == "q7"
            assert result.get_response()["model_version"] == "v1"
            said = [x.decode() if isinstance(x, bytes) else x for x in result.as_numpy("label")]
            assert said == ["fee", "卡", ""]
            wrong = [x.decode() if isinstance(x, bytes) else x for x in result.as_numpy("error")]
            assert wrong == ["", "", "missing"]
            chances = result.as_numpy("probabilities")
            assert chances.shape == (3, 3)
            assert chances.dtype == np.float32
            assert np.allclose(chances[:2].sum(1), 1)
            assert np.isnan(chances[2]).all()
            named = result.get_output("probabilities")["parameters"]["labels"]
            assert tuple(json.loads(named)) == LABELS

            everything = client.infer("support", [text])  # asks for binary_data_output
            assert list(everything.as_numpy("status")) == [b"ok", b"ok", b"error"]

            with pytest.raises(InferenceServerException, match="did you mean 'support'") as caught:
                client.infer("suport", [text])
            assert caught.value.status() == "404"

            index = {model["name"]: model["state"] for model in client.get_model_repository_index()}
            assert index == {"risk": "READY", "support": "READY", "failed": "UNAVAILABLE"}
            client.load_model("failed")
            client.unload_model("risk")
            assert repository.asked == [("load", "failed"), ("unload", "risk")]
            with pytest.raises(InferenceServerException, match="no product is called 'nothing'"):
                client.load_model("nothing")
            with pytest.raises(InferenceServerException, match="products come from their own folders"):
                client.load_model("risk", config="{}")
        finally:
            client.close()


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("FP64", [1.5, -2.0]),
        ("FP32", [1.5, -2.0]),
        ("FP16", [1.5, -2.0]),
        ("INT64", [3, -3]),
        ("UINT8", [3, 0]),
        ("BYTES", ["1,200", "-1"]),
        ("BOOL", [True, False]),
    ],
)
def test_columns_of_every_kind_both_ways(server: Server, datatype: str, values: list[Any]) -> None:
    """Binary and JSON give the same answers as /v1/products/risk/predict would."""
    with live(app_of(oip.routes(server))) as address:
        client = triton.InferenceServerClient(address)
        try:
            for binary in (True, False):
                if datatype == "FP16" and not binary:
                    continue  # the client itself sends FP16 as binary only
                kind = object if datatype == "BYTES" else triton_type(datatype)
                amount = triton.InferInput("amount", [2, 1], datatype)
                amount.set_data_from_numpy(np.array(values, kind).reshape(2, 1), binary_data=binary)
                inputs = [amount]
                for name, cells in (("when", ["2024-01-31", "昨天"]), ("plan", ["a", ""])):
                    inputs.append(triton.InferInput(name, [2], "BYTES"))
                    inputs[-1].set_data_from_numpy(np.array(cells, object), binary_data=not binary)
                inputs.append(triton.InferInput("paid", [2], "BOOL"))
                inputs[-1].set_data_from_numpy(np.array([True, False]), binary_data=binary)
                result = client.infer("risk", inputs)
                assert list(result.as_numpy("label")) == [b"high", b""]
                assert list(result.as_numpy("error")) == [b"", b"unreadable"]
                assert "when" in result.as_numpy("message")[1].decode()
        finally:
            client.close()


def triton_type(datatype: str) -> Any:
    from tritonclient.utils import triton_to_np_dtype

    return triton_to_np_dtype(datatype)


def test_a_call_of_any_json_client(client: TestClient) -> None:
    body = {"id": "42", "inputs": [texts("aaa", "ccc")], "outputs": [{"name": "label"}]}
    reply = client.post("/v2/models/support/versions/v1/infer", json=body)
    assert reply.json() == {
        "model_name": "support",
        "model_version": "v1",
        "id": "42",
        "outputs": [{"name": "label", "datatype": "BYTES", "shape": [2], "data": ["fee", "other"]}],
    }
    nested = {"name": "text", "shape": [2, 1], "datatype": "BYTES", "data": [["aaa"], ["ccc"]]}
    found = client.post(INFER, json={"inputs": [nested], "outputs": [{"name": "label"}]}).json()
    assert found["outputs"][0]["data"] == ["fee", "other"]
    assert client.post(INFER, json={"inputs": [texts()]}).json()["outputs"][1]["shape"] == [0, 3]
    many = client.post(INFER, json={"inputs": [texts(*["bb"] * 50)]}).json()
    assert many["outputs"][0]["data"] == ["卡"] * 50


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "not JSON"),
        (b'{"inputs": [{"name": "text", "shape": [1], "datatype": "FP64", "data": [NaN]}]}', 400, "not JSON"),
        (
            b'{"inputs": [], "parameters": {"x": ' + b"[" * 9_000 + b"]" * 9_000 + b"}}",
            400,
            "nested too deep",
        ),
        ({}, 422, "wanted shape"),
        ({"inputs": []}, 422, "input 'text' is missing"),
        ({"inputs": [texts("a"), texts("a")]}, 422, "two inputs have one name"),
        ({"inputs": [texts("a"), {**texts("a"), "name": "txt"}]}, 422, "no such input"),
        ({"inputs": [{**texts("a"), "shape": [2]}]}, 422, "1 values"),
        ({"inputs": [{**texts("a"), "shape": [-1]}]}, 422, "shape [-1]"),
        ({"inputs": [{**texts("a"), "shape": [1, 2]}]}, 422, "[n] or [n, 1]"),
        ({"inputs": [{**texts("a"), "shape": []}]}, 422, "one value a row"),
        ({"inputs": [{**texts("a"), "datatype": "STRING"}]}, 422, "'STRING'"),
        ({"inputs": [{**texts("a"), "datatype": "FP64", "data": [1.0]}]}, 422, "a text is BYTES"),
        ({"inputs": [{**texts("a"), "data": [1]}]}, 422, "int at 0"),
        ({"inputs": [{**texts("a"), "data": [[["a"]]]}]}, 422, "list at 0"),
        ({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES"}]}, 422, "no values"),
        ({"inputs": [{**texts("a"), "parameters": {"binary_data_size": -1}}]}, 422, "binary_data_size"),
        ({"inputs": [{**texts("a"), "parameters": {"binary_data_size": True}}]}, 422, "binary_data_size"),
        ({"inputs": [texts("a")], "outputs": [{"name": "lable"}]}, 422, "did you mean 'label'"),
        (
            {"inputs": [texts("a")], "outputs": [{"name": "label", "parameters": {"classification": 2}}]},
            422,
            "classification",
        ),
        ({"inputs": [texts(*["a"] * 51)]}, 413, "at most 50"),
    ],
)
def test_what_is_refused_and_how(client: TestClient, body: Any, status: int, says: str) -> None:
    reply = client.post(INFER, content=body if isinstance(body, bytes) else json.dumps(body))
    assert reply.status_code == status, reply.text
    assert list(reply.json()) == ["error"]
    assert says in reply.json()["error"]


@pytest.mark.parametrize(
    ("size", "binary", "length", "says"),
    [
        (7, b"\x03\0\0\0aaa", "99999", "header"),
        (7, b"\x03\0\0\0aaa", "x", "header"),
        (7, b"\x03\0\0\0aaa", "9" * 5_000, "header"),
        (9, b"\x03\0\0\0aaa", None, "binary_data_size"),
        (5, b"\x03\0\0\0aaa", None, "no input"),
        (7, b"\x04\0\0\0aaa", None, "longer than the bytes left"),
        (7, b"\x03\0\0\0\xff\xfe\xfd", None, "not UTF-8"),
        (2, b"\x03\0", None, "longer than the bytes left"),
    ],
)
def test_binary_that_does_not_fit(
    client: TestClient, size: int, binary: bytes, length: str | None, says: str
) -> None:
    one = {"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [one]}).encode()
    headers = {oip.JSON_LENGTH: length or str(len(head))}
    reply = client.post(INFER, content=head + binary, headers=headers)
    assert reply.status_code == 422, reply.text
    assert says in reply.json()["error"]


def test_models_that_are_not_there(client: TestClient) -> None:
    assert client.get("/v2/models/suport").json() == {
        "error": client.get("/v2/models/suport/ready").json()["error"]
    }
    assert client.get("/v2/models/failed/ready").status_code == 503
    assert client.get("/v2/models/support/versions/v9").status_code == 404
    assert client.post("/v2/repository/index", json={"ready": True}).json()[0]["name"] == "risk"
    assert client.post("/v2/repository/index", json={"ready": "x"}).status_code == 422
    assert client.get("/v2/health/ready").json() == {"live": True, "ready": True}


@pytest.mark.parametrize(("body", "status"), [(b"", 200), (b"{}", 200), (b"[]", 422), (b"\x00", 400)])
def test_what_a_load_says_beside_the_name(server: Server, body: bytes, status: int) -> None:
    client = TestClient(app_of(oip.routes(server, Shelves())))
    assert client.post("/v2/repository/models/risk/load", content=body).status_code == status


def test_without_a_repository_nothing_is_loaded(server: Server) -> None:
    client = TestClient(app_of(oip.routes(server)))
    assert client.post("/v2/repository/models/risk/unload").status_code == 404
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
tensors = st.fixed_dictionaries(
    {"name": st.sampled_from(["text", "amount"]) | json_values, "shape": st.just([1]) | json_values},
    optional={
        "datatype": st.sampled_from(["BYTES", "FP64", "INT64", "BOOL"]) | json_values,
        "data": st.lists(json_values, max_size=2) | json_values,
        "parameters": json_values,
    },
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.fixed_dictionaries({}, optional={"inputs": st.lists(tensors, max_size=3) | json_values, "id": json_values,
                                                "outputs": json_values, "parameters": json_values}))  # fmt: skip
def test_nothing_that_is_sent_breaks_it(client: TestClient, body: Any) -> None:
    for model in ("support", "risk"):
        reply = client.post(f"/v2/models/{model}/infer", content=json.dumps(body))
        assert reply.status_code < 500, reply.text


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(binary=st.binary(max_size=40), datatype=st.sampled_from(["BYTES", "FP64", "FP16", "INT32", "BOOL"]))
def test_no_bytes_break_it(client: TestClient, binary: bytes, datatype: str) -> None:
    inputs = [
        {"name": name, "shape": [1], "datatype": datatype, "data": [None]}
        for name in ("when", "plan", "paid")
    ]
    own = {
        "name": "amount",
        "shape": [1],
        "datatype": datatype,
        "parameters": {"binary_data_size": len(binary)},
    }
    head = json.dumps({"inputs": [own, *inputs]}).encode()
    reply = client.post(
        "/v2/models/risk/infer", content=head + binary, headers={oip.JSON_LENGTH: str(len(head))}
    )
    assert reply.status_code in (200, 422), reply.text


def test_multilabel_and_regress_have_their_own_tensors(tmp_path: Path) -> None:
    """Through the real tasks, with the smallest head."""
    from tests.serve.parts import make_bundle

    for name, task, labels in (("tags", "multilabel", ("x", "y")), ("price", "regress", ())):
        make_bundle(
            tmp_path / name,
            name=name,
            inputs={"amount": "number"},
            head=Fixed("amount", [0.9, 0.1][: len(labels) or 1]),
            labels=labels,
            trunks=(),
            spec={"task": task},
        )
    HEADS.register("toy-fixed", Fixed)
    try:
        server = Server(LiveCatalog(tmp_path), Limits())
        client = TestClient(app_of(oip.routes(server)))
        column = {"name": "amount", "shape": [2], "datatype": "FP64", "data": [1.0, None]}
        for name in ("tags", "price"):
            described = client.get(f"/v2/models/{name}").json()
            reply = client.post(f"/v2/models/{name}/infer", json={"inputs": [column]}).json()
            found = {out["name"]: out for out in reply["outputs"]}
            shapes = {out["name"]: out["shape"][1:] for out in described["outputs"]}
            assert {name: out["shape"][1:] for name, out in found.items()} == shapes
            if name == "tags":
                assert (found["labels"]["datatype"], found["labels"]["data"]) == ("BOOL", [True, False] * 2)
                assert found["probabilities"]["shape"] == [2, 2]
            else:
                assert found["value"]["datatype"] == "FP64"
                assert found["value"]["data"] == pytest.approx([0.9, 0.9])
    finally:
        HEADS.unregister("toy-fixed")


class Fixed(ToyTable):
    """Always the same."""

    format = "toy-fixed"

    def run(self, rows: Any) -> Program:
        values = np.tile(self.weights, (len(rows), 1))
        return Prediction(values if values.shape[1] > 1 else values[:, 0])
        yield []
