"""Why an answer is what it is, over HTTP, in Python, on the command line: on real small products."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient
from tests.products import WORDS, text_product
from tests.serve.live import live
from tests.serve.parts import ToyHead, ToyTable, make_product

from trunkline import AsyncClient, Client
from trunkline.cli import main
from trunkline.client import ProblemError
from trunkline.errors import RequestError
from trunkline.explain.subject import NotExplainedError
from trunkline.product import Product
from trunkline.serve.app import build
from trunkline.serve.live import LiveCatalog
from trunkline.serve.watch import Watcher

TEXT = "please my parcel is late again, 物流 today"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("products")
    text_product(root / "mail").train()
    return root


@pytest.fixture
def client(trained: Path, tmp_path: Path) -> Iterator[TestClient]:
    make_product(tmp_path, "quiet", spec={"explain": False})
    make_product(tmp_path, "table", inputs={"amount": "number", "size": "number"}, head=ToyTable("amount", [1.0]), labels=("a", "b"))
    make_product(tmp_path, "letters", head=ToyHead("text", [1.0, 1.0, 1.0]))
    shutil.copytree(trained / "mail", tmp_path / "mail")
    with TestClient(build(LiveCatalog(tmp_path)), "http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def asked(client: TestClient, product: str, body: dict[str, Any], status: int = 200) -> Any:
    reply = client.post(f"/v1/products/{product}/why", json=body)
    assert reply.status_code == status, reply.text
    return reply.json()


def test_words_of_the_answer_come_first_and_the_answer_is_that_of_predict(client: TestClient) -> None:
    body = {"row": {"text": TEXT}}
    found = asked(client, "mail", body)
    plain = client.post("/v1/products/mail/predict", json=body).json()
    (answer,) = found.pop("answers")
    why = answer.pop("why")
    assert {**found, "answers": [answer]} == plain
    assert (why["of"], why["method"], why["unit"]) == ("delivery", "occlusion", "log_odds")
    assert {reason["name"] for reason in why["reasons"][:3]} == set(WORDS["delivery"]) & set(TEXT.replace(",", "").split())
    assert all(TEXT[reason["start"] : reason["end"]] == reason["name"] for reason in why["reasons"])
    assert why["reasons"][0]["without"] < why["probability"] == answer["scores"]["delivery"]


def test_another_label_can_be_asked_for(client: TestClient) -> None:
    row = {"text": "my refund and my parcel"}
    for label, word in (("refund", "refund"), ("delivery", "parcel")):
        why = asked(client, "mail", {"row": row, "label": label})["answers"][0]["why"]
        weights = {reason["name"]: reason["weight"] for reason in why["reasons"]}
        assert (why["of"], max(weights, key=lambda name: weights[name])) == (label, word)
        assert min(weights.values()) < 0  # the other label's word speaks against it


def test_places_are_those_of_the_text_that_was_sent(client: TestClient) -> None:
    sent = "\r\n\x07my\r\n parcel e\u0301"
    why = asked(client, "mail", {"row": {"text": sent}})["answers"][0]["why"]
    places = {reason["name"]: (reason["start"], reason["end"]) for reason in why["reasons"]}
    start, end = places["parcel"]
    assert sent[start:end] == "parcel"
    assert sent[slice(*places["e\u0301"])] == "e\u0301"


def test_a_strange_row_is_told_what_makes_it_strange(client: TestClient) -> None:
    (answer,) = asked(client, "mail", {"row": {"text": "quantum entanglement of zebras 我是一只斑马"}})["answers"]
    assert answer["status"] == "out_of_scope"
    assert (answer["why"]["of"], answer["why"]["unit"]) == ("out_of_scope", "distance")


@pytest.mark.parametrize(("method", "code"), [("sum", "no_sum"), ("cam", "no_map")])
def test_a_sum_or_map_where_there_is_none_is_refused_row_by_row(client: TestClient, method: str, code: str) -> None:
    (answer,) = asked(client, "mail", {"row": {"text": TEXT}, "method": method})["answers"]
    assert (answer["status"], answer["why_not"]["error"]) == ("ok", code)


def test_bad_rows_answer_as_ever_and_their_neighbours_have_reasons(client: TestClient) -> None:
    rows: list[Any] = [{"text": "  "}, {"txt": "a"}, "no row", {"text": "parcel late"}, {"text": "?!"}]
    empty, lacks, none, good, marks = asked(client, "mail", {"rows": rows})["answers"]
    assert [one["error"] for one in (empty, lacks, none)] == ["missing", "missing_column", "not_a_row"]
    assert not any("why" in one for one in (empty, lacks, none))
    assert good["why"]["reasons"]
    assert marks["why_not"]["error"] == "no_parts"


def test_missing_cells_of_a_table_are_parts_like_others(client: TestClient) -> None:
    (answer,) = asked(client, "table", {"row": {"amount": 3.0, "size": None}})["answers"]
    reasons = {reason["column"]: reason for reason in answer["why"]["reasons"]}
    assert reasons.keys() == {"size"}  # without its amount this head has no answer at all
    assert reasons["size"]["name"] == "size = –"
    assert reasons["size"]["weight"] == 0


@pytest.mark.parametrize(
    ("product", "body", "status", "kind", "says"),
    [
        ("quiet", {"row": {"text": "a"}}, 403, "not-explained", "switched explanations off"),
        ("nobody", {"row": {"text": "a"}}, 404, "unknown-product", "no product"),
        ("mail", {"row": {"text": "a"}, "label": "deliverry"}, 422, "wrong-request", "no label"),
        ("mail", {"row": {"text": "a"}, "method": "magic"}, 422, "wrong-request", "no such way"),
        ("mail", {"row": {"text": "a"}, "budget": 0}, 422, "wrong-request", "number"),
        ("mail", {"row": {"text": "a"}, "budget": 10_000}, 422, "wrong-request", "number"),
        ("mail", {"row": {"text": "a"}, "budgett": 3}, 422, "wrong-request", "wanted shape"),
        ("mail", {"row": {"txt": "a"}}, 422, "wrong-request", "no column 'text'"),
        ("mail", {"rows": [{"text": "a"}] * 11}, 413, "too-large", "too many rows"),
        ("mail", {}, 422, "wrong-request", "either rows or row"),
    ],
)
def test_what_cant_be_explained_says_why(client: TestClient, product: str, body: dict[str, Any], status: int, kind: str, says: str) -> None:
    found = asked(client, product, body, status)
    assert found["type"] == f"urn:trunkline:{kind}"
    assert says in found["title"]


def test_a_long_text_costs_no_more_than_its_budget_and_finds_the_word(client: TestClient) -> None:
    words = ["please", "my", "the", "today", "again"] * 40
    words[131] = "parcel"
    before = client.get("/metrics").text
    (answer,) = asked(client, "mail", {"row": {"text": " ".join(words)}, "label": "delivery"})["answers"]
    why = answer["why"]
    assert why["rows"] <= 26
    assert "parcel" in why["reasons"][0]["name"]
    assert len(why["reasons"][0]["name"].split()) <= 3
    counted = f'trunkline_inferences_total{{engine="trunk:hash",product="mail",version="v1"}} {why["rows"] + 1}.0'
    assert counted not in before
    assert counted in client.get("/metrics").text


def test_the_clients_ask_too(trained: Path) -> None:
    with live(build(LiveCatalog(trained))) as host:
        with Client(f"http://{host}") as client:
            answer = client.why("mail", {"text": TEXT}, top=2)

        async def later() -> Any:
            async with AsyncClient(f"http://{host}") as other:
                return await other.why("mail", {"text": TEXT}, top=2)

        assert asyncio.run(later()) == answer
    assert answer.label == "delivery"
    assert answer.why is not None
    assert len(answer.why["reasons"]) == 2


def test_in_python_and_on_the_command_line(trained: Path) -> None:
    product = Product(trained / "mail")
    (answer,) = product.why([{"text": TEXT}])
    assert answer["why"]["reasons"][0]["weight"] > 0
    with pytest.raises(RequestError, match="no label"):
        next(product.why([{"text": "a"}], label="none"))
    done = CliRunner().invoke(main, ["why", str(trained / "mail"), TEXT, "--top", "3"])
    assert done.exit_code == 0, done.output
    head, *lines = done.output.splitlines()
    assert head.startswith("0: ok, why delivery (")
    assert len(lines) == 3
    assert lines[0].strip().startswith("++++")
    assert "without it" in lines[0]
    as_json = CliRunner().invoke(main, ["why", str(trained / "mail"), "?!", "--json"])
    assert json.loads(as_json.output)["answers"][0]["why_not"]["error"] == "no_parts"
    refused = CliRunner().invoke(main, ["why", str(trained / "mail"), "a", "--method", "magic"])
    assert refused.exit_code == 2


def switched(folder: Path, to: str) -> None:
    done = CliRunner().invoke(main, ["deploy", str(folder), "--explain", to])
    assert done.exit_code == 0, done.output
    assert f"explanations are {to}" in done.output


def test_a_running_server_follows_the_owners_switch_without_a_training(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "mail", tmp_path / "mail")
    catalog = LiveCatalog(tmp_path)
    watcher, body, path = Watcher(catalog), {"row": {"text": TEXT}}, "/v1/products/mail/why"
    with TestClient(build(catalog), "http://127.0.0.1", raise_server_exceptions=False) as client:
        first = asked(client, "mail", body)
        begun = catalog.snapshot().products["mail"]
        switched(tmp_path / "mail", "off")
        watcher.look()
        refused = asked(client, "mail", body, 403)
        assert (refused["type"], refused["title"]) == ("urn:trunkline:not-explained", "the owner of this product switched explanations off")
        assert path not in client.get("/openapi.json").json()["paths"]
        assert client.post("/v1/products/mail/predict", json=body).status_code == 200
        assert catalog.snapshot().products["mail"] is begun  # nothing was loaded again
        with pytest.raises(NotExplainedError, match="switched explanations off"):
            next(Product(tmp_path / "mail").why([{"text": "a"}]))
        done = CliRunner().invoke(main, ["why", str(tmp_path / "mail"), "a", "--json"])
        assert (done.exit_code, json.loads(done.output)["error"]) == (2, "NotExplainedError")
        assert "explanations off" in CliRunner().invoke(main, ["status", str(tmp_path)]).output
        with TestClient(build(LiveCatalog(tmp_path)), "http://127.0.0.1", raise_server_exceptions=False) as again:
            asked(again, "mail", body, 403)  # a server that starts later hears it too
        switched(tmp_path / "mail", "on")
        watcher.look()
        assert asked(client, "mail", body) == first
        assert path in client.get("/openapi.json").json()["paths"]


def test_the_clients_are_told_that_it_is_off(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "mail", tmp_path / "mail")
    switched(tmp_path / "mail", "off")
    with live(build(LiveCatalog(tmp_path))) as host, Client(f"http://{host}") as client:
        with pytest.raises(ProblemError, match="switched explanations off"):
            client.why("mail", {"text": TEXT})
        assert client.predict("mail", {"text": TEXT}).label == "delivery"


def test_a_switch_goes_alone(trained: Path) -> None:
    for more in (["v1"], ["--shadow"], ["--canary", "10%"], ["--override", "why not"]):
        done = CliRunner().invoke(main, ["deploy", str(trained / "mail"), "--explain", "off", *more])
        assert done.exit_code == 2
        assert "--explain goes alone" in done.output
    assert not (trained / "mail" / "bundles" / "v1" / "bundles").exists()
    lone = CliRunner().invoke(main, ["deploy", str(trained / "mail" / "bundles" / "v1"), "--explain", "off"])
    assert lone.exit_code == 2
    assert not (trained / "mail" / "bundles" / "v1" / "bundles").exists()


def test_an_owner_who_switched_it_off_is_heard_at_once(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "mail" / "bundles", tmp_path / "bundles")
    toml = (trained / "mail" / "product.toml").read_text(encoding="utf-8")
    (tmp_path / "product.toml").write_text("explain = false\n" + toml, encoding="utf-8")
    with pytest.raises(NotExplainedError, match="switched explanations off"):
        next(Product(tmp_path).why([{"text": "a"}]))
