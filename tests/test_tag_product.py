"""A tag product from rows to answers: trained, frozen, replayed, predicted; spans in the caller's own characters."""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from trunkline.errors import DataError
from trunkline.product import Product
from trunkline.serve.app import build
from trunkline.serve.live import LiveCatalog
from trunkline.serve.schedule import Scheduler, Ticket
from trunkline.trunks.hash import HashTrunk
from trunkline.types import Call, Steps

PEOPLE, PLACES = ("Ana", "Bob", "Émilie", "高勇", "李娜"), ("Paris", "Oslo", "北京", "上海")


def rows(n: int) -> list[dict[str, str]]:
    out = []
    for i in range(n):
        who, where = PEOPLE[i % len(PEOPLE)], PLACES[i % len(PLACES)]
        out.append({"tokens": f"{who} lives in {where} since {1990 + i}", "tags": "B-PER O O B-LOC O O"})
    return out


def product(folder: Path, made: list[dict[str, str]]) -> Product:
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["tokens", "tags"])
        writer.writeheader()
        writer.writerows(made)
    (folder / "product.toml").write_text(
        'name = "people"\ntask = "tag"\nlabel = "tags"\n[inputs]\ntokens = "text"\n[trunks]\ntext = "hash"\n'
        '[proof]\nlanguage = "zh"\n[gate]\nrules = ["gain.majority.low > 0", "f1[PER].low > 0"]\n',
        encoding="utf-8",
    )
    return Product(folder)


def test_from_rows_to_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    (folder := tmp_path / "people").mkdir()
    people = product(folder, [*rows(80), {"tokens": "Ana left", "tags": "I-PER O"}])
    report = people.validate()
    assert report.rows["dropped"] == 1
    assert "I-PER" in "".join(finding.message + str(finding.rows) for finding in report.findings)
    bundle = people.train()
    assert bundle.manifest.passed
    assert bundle.report["metrics"]["span_f1"]["value"] > 0.9
    assert [row["label"] for row in bundle.report["detail"]["classes"]] == ["LOC", "PER"]
    gains = bundle.report["metrics"]["span_f1"]["gains"]
    assert set(gains) == {"majority", "dictionary"}
    assert gains["dictionary"]["low"] <= 0 <= gains["dictionary"]["high"]  # all names of these rows are known ones
    assert sum(one["right"]["n"] for one in bundle.report["detail"]["bins"]) == sum(bundle.report["detail"]["histogram"])
    assert "实体 F1" in (bundle.folder / "report.html").read_text(encoding="utf-8")
    sent = "E\u0301milie lives in 北京 since 2001"
    good, bad = people.predict([{"tokens": sent}, {"tokens": ""}])
    assert [(sent[s["start"] : s["end"]], s["type"]) for s in good["spans"]] == [("E\u0301milie", "PER"), ("北京", "LOC")]
    assert all(s["text"] == sent[s["start"] : s["end"]] for s in good["spans"])
    assert bad["status"] == "error"
    people.deploy()
    over_http(tmp_path, sent, good["spans"])


def over_http(folder: Path, sent: str, spans: list[dict[str, Any]]) -> None:
    live = LiveCatalog(folder)
    with TestClient(build(live), "http://127.0.0.1") as client:
        for body in ({"row": {"tokens": sent}}, {"row": {"text": sent}}):
            route = "/v1/products/people/predict" if "tokens" in body["row"] else "/v1/matrix/predict"
            (answer,) = client.post(route, json=body).json()["answers"]
            assert answer["spans"] == spans
        operation = client.get("/openapi.json").json()["paths"]["/v1/products/people/predict"]["post"]
        assert "spans" in str(operation["responses"]["200"])


def test_tokens_do_not_fill_what_the_server_keeps() -> None:
    under = Scheduler({"e": HashTrunk()}, lambda call, item: str(item), recent_bytes=1_000)

    def program() -> Steps[int]:
        (found,) = yield [Call("e", ["Ana lives in Oslo", "高勇"], "tokens")]
        return sum(len(tokens.vectors) for tokens in found)

    assert asyncio.run(under.run(program(), Ticket()))[0] == 6
    assert (len(under.recent), under.recent.bytes) == (0, 0)


def test_rows_that_are_mostly_no_tags_stop_the_training(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        product(tmp_path, [{"tokens": f"Ana left {i}", "tags": "I-PER O O"} for i in range(9)]).validate()
    assert "row 1" in error.value.where
    assert "token 1" in error.value.found
