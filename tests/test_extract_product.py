"""An extract product from rows to answers: trained, frozen, replayed, predicted; answers in the caller's own characters."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient
from tests.methods.texts import asked

from trunkline.data.read import read_examples
from trunkline.product import Product
from trunkline.serve.app import build
from trunkline.serve.live import LiveCatalog
from trunkline.spec.load import load_spec
from trunkline.tasks.extract import Extract

SENT = {"question": "Where did Ana move to?", "context": "Zoe\u0301 left.\r\nAna moved to Rome in 2001. Bob moved to Oslo in 2001."}


def product(folder: Path, broken: bool = False) -> Product:
    known, rows = asked(120), []
    for row, spans in zip(known.inputs, known.target, strict=True):
        rows.append({**row, "answer": spans[0].text if spans else "", "answer_start": spans[0].start if spans else ""})
    if broken:
        rows.append({"question": "Where?", "context": "Ana left.", "answer": "Rome", "answer_start": 99})
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["question", "context", "answer", "answer_start"])
        writer.writeheader()
        writer.writerows(rows)
    (folder / "product.toml").write_text(
        'name = "where"\ntask = "extract"\nlabel = "answer"\n[inputs]\nquestion = "text"\ncontext = "text"\n'
        '[trunks]\ntext = "hash"\n[proof]\nlanguage = "zh"\n[gate]\nrules = ["gain.best_sentence.low > 0"]\n',
        encoding="utf-8",
    )
    return Product(folder)


def test_from_rows_to_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    (folder := tmp_path / "where").mkdir()
    where = product(folder, broken=True)
    report = where.validate()
    assert report.rows["dropped"] == 1
    assert "outside its context" in "".join(finding.message + str(finding.rows) for finding in report.findings)
    bundle = where.train()
    assert bundle.manifest.passed
    assert bundle.manifest.method == "span_linear"
    assert bundle.report["metrics"]["answer_f1"]["value"] > 0.5
    assert [part["has_answer"] for part in bundle.report["detail"]["parts"]] == [True, False]
    assert "答案 F1" in (page := (bundle.folder / "report.html").read_text(encoding="utf-8"))
    assert "不含答案" in page
    (good, bad) = where.predict([SENT, {"question": "Where?", "context": ""}])
    assert set(good) >= {"answer", "start", "end", "score"}
    assert good["answer"] is not None
    assert SENT["context"][good["start"] : good["end"]] == good["answer"]
    assert bad["status"] == "error"
    where.deploy()
    over_http(tmp_path, good)


def over_http(folder: Path, wanted: dict[str, object]) -> None:
    with TestClient(build(LiveCatalog(folder)), "http://127.0.0.1") as client:
        for route, body in (("/v1/products/where/predict", {"row": SENT}), ("/v1/matrix/predict", {"row": SENT})):
            (answer,) = client.post(route, json=body).json()["answers"]
            assert {name: answer[name] for name in ("answer", "start", "end")} == {n: wanted[n] for n in ("answer", "start", "end")}
        operation = client.get("/openapi.json").json()["paths"]["/v1/products/where/predict"]["post"]
        assert "after the last character" in str(operation["responses"]["200"]).lower()


def test_questions_on_one_context_are_never_on_both_sides(tmp_path: Path) -> None:
    lines = ["question,context,answer,answer_start"]
    lines += [f"q {i}?,context {i % 12} it is,it,{len(f'context {i % 12} ')}" for i in range(96)]
    (tmp_path / "train.csv").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "product.toml").write_text(
        'name = "x"\ntask = "extract"\nlabel = "answer"\n[inputs]\nquestion = "text"\ncontext = "text"\n', encoding="utf-8"
    )
    loaded = read_examples(load_spec(tmp_path), Extract(), tmp_path)
    train, test = ({row["context"] for row in part.inputs} for part in (loaded.train, loaded.test))
    assert train
    assert test
    assert not train & test
    folds = Extract().folds(loaded.train, 3, 0)
    for context in train:
        at = [i for i, row in enumerate(loaded.train.inputs) if row["context"] == context]
        assert len(np.unique(folds[at])) == 1
