"""Tag and extract through the command, both clients and a bulk job: the same spans from each."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.serve.live import live
from tests.test_client import BOTH, Kind, ask
from tests.test_extract_product import SENT
from tests.test_extract_product import product as extract_product
from tests.test_tag_product import product as tag_product
from tests.test_tag_product import rows

from trunkline.cli import main
from trunkline.client import Answer, Client
from trunkline.serve.app import build
from trunkline.serve.live import LiveCatalog

TAGGED = {"tokens": "E\u0301milie lives in 北京 since 2001"}
"""Its first name is read as five signs and sent as six."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("spans")
    before = os.environ.get("TRUNKLINE_CACHE")
    os.environ["TRUNKLINE_CACHE"] = str(folder / "cache")
    for name, made in (("people", lambda at: tag_product(at, rows(80))), ("where", extract_product)):
        (folder / name).mkdir()
        made(folder / name)
        done = CliRunner().invoke(main, ["train", str(folder / name)])
        assert done.exit_code == 0, done.output
        assert CliRunner().invoke(main, ["deploy", str(folder / name)]).exit_code == 0
    yield folder
    os.environ.pop("TRUNKLINE_CACHE")
    if before is not None:
        os.environ["TRUNKLINE_CACHE"] = before


@pytest.fixture
def url(root: Path) -> Iterator[str]:
    """With the runner of jobs."""
    with live(build(LiveCatalog(root)), lifespan="on") as address:
        yield f"http://{address}"


def said(root: Path, name: str, row: dict[str, str]) -> dict[str, Any]:
    """What the command answers."""
    done = CliRunner().invoke(main, ["predict", str(root / name)], input=json.dumps(row))
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@BOTH
def test_a_client_has_the_commands_spans(kind: Kind, url: str, root: Path) -> None:
    wanted = said(root, "people", TAGGED)["spans"]
    assert [one["text"] for one in wanted] == ["E\u0301milie", "北京"]
    assert ask(kind, lambda client: client.predict("people", TAGGED), url).spans == wanted
    pairs = ask(kind, lambda client: client.stream("people", [TAGGED]), url)
    assert [answer.spans for _, answer in pairs] == [wanted]


@BOTH
def test_a_client_has_the_commands_answer(kind: Kind, url: str, root: Path) -> None:
    wanted = said(root, "where", SENT)
    assert wanted["answer"] == SENT["context"][wanted["start"] : wanted["end"]]
    found = ask(kind, lambda client: client.predict("where", SENT), url)
    assert isinstance(found, Answer)
    assert (found.answer, found.start, found.end) == (wanted["answer"], wanted["start"], wanted["end"])
    assert found.score == pytest.approx(wanted["score"])


def test_a_file_of_questions_by_the_command(root: Path) -> None:
    with (root / "ask.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(SENT))
        writer.writeheader()
        writer.writerows([SENT, {"question": "Where?", "context": ""}])
    done = CliRunner().invoke(main, ["predict", str(root / "where"), "--file", str(root / "ask.csv")])
    good, bad = (json.loads(line) for line in done.stdout.splitlines())
    assert good["answer"] == said(root, "where", SENT)["answer"]
    assert (bad["status"], bad["error"]) == ("error", "missing")
    one_text = CliRunner().invoke(main, ["predict", str(root / "where"), "Where is Ana?"])
    assert one_text.exit_code == 2
    assert "question, context" in one_text.output


@pytest.mark.parametrize(("name", "row"), [("people", TAGGED), ("where", SENT)])
def test_a_bulk_job_in_every_form(url: str, root: Path, tmp_path: Path, name: str, row: dict[str, str]) -> None:
    wanted = said(root, name, row)
    lines = tmp_path / "rows.jsonl"
    lines.write_text("".join(json.dumps(one) + "\n" for one in (row, dict.fromkeys(row, ""), row)), encoding="utf-8")
    with Client(url, timeout=30, deadline=60) as client:
        job = client.wait(client.submit(name, lines), every=0.05, timeout=60)
        assert (job.rows_done, job.rows_failed) == (3, 1)
        first, broken, last = client.answers(job)
        for answer in (first, last):
            assert (answer.spans, answer.answer, answer.start) == (wanted.get("spans"), wanted.get("answer"), wanted.get("start"))
        assert broken.error == "missing"
        client.download(job, tmp_path / "answers.csv")
        client.download(job, tmp_path / "answers.parquet")
    with (tmp_path / "answers.csv").open(newline="", encoding="utf-8") as file:
        cell = next(csv.DictReader(file))
    in_csv = json.loads(cell["spans"]) if name == "people" else cell["answer"]
    assert in_csv == (wanted["spans"] if name == "people" else wanted["answer"])
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(tmp_path / "answers.parquet").to_pylist()
    in_parquet = json.loads(table[0]["spans"]) if name == "people" else table[0]["answer"]
    assert in_parquet == in_csv
