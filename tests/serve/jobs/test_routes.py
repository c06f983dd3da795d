"""Bulk jobs over HTTP, with the runner beside them, in this process."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient
from tests.serve.jobs.made import LABELS, answers, check, csv_rows, ended, shown, submitted, text, until
from tests.serve.parts import ToyEngine, ToyTable, make_product

from trunkline.serve.app import build
from trunkline.serve.jobs import rows, upload
from trunkline.serve.jobs.place import Place
from trunkline.serve.limits import Limits
from trunkline.serve.live import LiveCatalog
from trunkline.store.callers import add_key
from trunkline.store.database import Store, open_store

JOBS = "/v1/products/support/jobs"
CSV, NDJSON, PARQUET = rows.MEDIA


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "products"


@pytest.fixture
def client(home: Path, store: Store) -> Iterator[TestClient]:
    make_product(home, "support")
    make_product(home, "ids", spec={"data": {"id": "nr"}})
    make_product(home, "risk", inputs={"amount": "number"}, head=ToyTable("amount", [1.0]), labels=("high", "low"))
    app = build(LiveCatalog(home), Limits(job_bytes=200_000, jobs=3), store)
    with TestClient(app, "http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def files(home: Path, wanted: int) -> list[str]:
    """Below the folder of jobs, without its own name, once they are so many: some go a moment after a job's end."""
    jobs = Place(home).home

    def look() -> list[str]:
        return sorted(str(file.relative_to(jobs)) for file in jobs.rglob("*") if file.is_file() and file.name != "place")

    found: list[str] = until(look, lambda found: len(found) == wanted, 10)
    return found


def problem(reply: Any, status: int, kind: str) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    body: dict[str, Any] = reply.json()
    assert body["type"] == f"urn:trunkline:{kind}"
    return body


def test_a_csv_from_the_first_row_to_the_last(client: TestClient, home: Path) -> None:
    job = submitted(client, csv_rows(500))
    assert (job["product"], job["version"], job["state"], job["rows_done"]) == ("support", "v1", "queued", 0)
    found = ended(client, job["id"])
    assert (found["state"], found["rows_done"], found["rows_total"], found["rows_failed"]) == ("done", 500, 500, 0)
    assert found["rows_per_second"] > 0
    assert found["seconds_left"] is None
    assert found["kept_until"] > found["ended"] >= found["created"]
    check(answers(client, job["id"]), 500)
    predicted = client.post("/v1/products/support/predict", json={"rows": [{"text": text(7)}]}).json()["answers"][0]
    assert answers(client, job["id"])[7] == {**predicted, "id": 7}
    assert files(home, 1) != [f"{job['id']}/rows"]  # the answers; what was sent is gone


def test_lines_are_answered_as_in_a_stream(client: TestClient) -> None:
    body = b'{"text": "aaa", "nr": "k1"}\n\n{"text": \n7\n{"txt": 1}\n{"text": "break"}\n{"text": ""}\n{"text": "b", "nr": 9}'
    job = submitted(client, body, NDJSON, "ids")["id"]
    found = ended(client, job)
    assert (found["state"], found["rows_done"], found["rows_failed"]) == ("done", 7, 5)
    streamed = client.post("/v1/products/ids/predict", content=body, headers={"content-type": NDJSON})
    assert answers(client, job) == [json.loads(line) for line in streamed.text.splitlines()]
    assert [one["id"] for one in answers(client, job)] == ["k1", 1, 2, 3, 4, 5, 9]
    assert [one.get("error", "ok") for one in answers(client, job)] == [
        "ok", "not_json", "not_a_row", "missing_column", "broken", "missing", "ok",
    ]  # fmt: skip


def test_parquet_in_and_every_form_out(client: TestClient) -> None:
    table = pa.table({"text": [text(n) for n in range(200)] + [None], "nr": [f"r{n}" for n in range(201)]})
    out = io.BytesIO()
    pq.write_table(table, out)
    job = submitted(client, out.getvalue(), PARQUET, "ids")["id"]
    assert ended(client, job)["rows_failed"] == 1
    lines = answers(client, job)
    assert [one["id"] for one in lines] == [f"r{n}" for n in range(201)]
    by_accept = client.get(f"/v1/jobs/{job}/answers", headers={"accept": f"{CSV};q=1, */*"})
    by_name = client.get(f"/v1/jobs/{job}/answers?format=csv", headers={"accept": "*/*"})
    assert by_accept.content == by_name.content
    assert by_name.headers["content-disposition"] == f'attachment; filename="{job}.csv"'
    assert by_name.headers["content-type"].startswith(CSV)
    cells = list(csv.DictReader(io.StringIO(by_name.text)))
    assert [cell["id"] for cell in cells] == [one["id"] for one in lines]
    assert [cell["label"] for cell in cells[:-1]] == [one["label"] for one in lines[:-1]]
    assert json.loads(cells[4]["scores"]) == lines[4]["scores"]
    assert (cells[-1]["status"], cells[-1]["error"], cells[-1]["label"]) == ("error", "missing", "")
    got = client.get(f"/v1/jobs/{job}/answers?format=parquet")
    read = pq.read_table(io.BytesIO(got.content)).to_pylist()
    assert [{**row, "scores": row["scores"] and dict(row["scores"])} for row in read[:-1]] == [
        {**one, "error": None, "message": None} for one in lines[:-1]
    ]
    assert read[-1]["message"] == lines[-1]["message"]
    assert client.get(f"/v1/jobs/{job}/answers?format=xml").status_code == 422
    head, whole = client.head(f"/v1/jobs/{job}/answers"), client.get(f"/v1/jobs/{job}/answers")
    assert (head.content, int(head.headers["content-length"])) == (b"", len(whole.content))


def test_numbers_of_rows_are_numbers_in_parquet(client: TestClient) -> None:
    job = submitted(client, b"amount\n1\n-1\nmany\n", product="risk")["id"]
    ended(client, job)
    got = pq.read_table(io.BytesIO(client.get(f"/v1/jobs/{job}/answers?format=parquet").content))
    assert got["id"].to_pylist() == [0, 1, 2]
    assert got["label"].to_pylist() == ["high", "low", None]
    assert got["error"].to_pylist() == [None, None, "unreadable"]


def test_no_rows_no_answers(client: TestClient) -> None:
    job = submitted(client, b"text,nr\n")["id"]
    found = ended(client, job)
    assert (found["state"], found["rows_total"]) == ("done", 0)
    assert answers(client, job) == []
    assert client.get(f"/v1/jobs/{job}/answers?format=csv").text.strip() == "id,status,label,scores,error,message"
    got = client.get(f"/v1/jobs/{job}/answers?format=parquet")
    assert pq.read_table(io.BytesIO(got.content)).num_rows == 0


@pytest.mark.parametrize(
    ("body", "media", "says", "where"),
    [
        (b"text\n" + b"a\n" * 300 + b"a,b\n", CSV, "another number of cells", "the file, line 302"),
        (b"txt,nr\na,1\n", CSV, "no row has the column 'text'", None),
        (b'text\n"a\n', CSV, "this CSV is broken", "the file, line 2"),
        (b"text\n\xff\xfe\xfd\xfc\n", "text/csv; charset=utf-8", "not utf-8 text", "the file, line 2"),
        (b"\x00\x01\x02\x03" * 50, CSV, "no text rows", "the file, line 1"),
        (b"{\n[\n", NDJSON, "no line of the file is a row", None),
        (b'{"txt": 1}\n{"nr": 2}\n', NDJSON, "no row has the column 'text'", None),
        (b"PAR1 and so on", PARQUET, "Parquet file can't be read", "the file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_error(
    client: TestClient, home: Path, body: bytes, media: str, says: str, where: str | None
) -> None:
    job = submitted(client, body, media)["id"]
    found = ended(client, job)
    assert (found["state"], found["rows_done"]) == ("failed", 0)
    assert says in found["error"]["what"]
    assert found["error"].get("where") == where
    assert str(home) not in json.dumps(found)
    assert "[data]" not in json.dumps(found)
    refused = problem(client.get(f"/v1/jobs/{job}/answers"), 409, "job-state")
    assert refused["found"] == "failed"
    assert files(home, 0) == []


def test_an_encoding_is_found_or_told(client: TestClient) -> None:
    chinese = "text,备注\n" + "aaa,今天的包裹还没有送到\nbbb,退款什么时候到账\n" * 20
    for media in (CSV, 'text/csv; charset="gb18030"'):
        job = submitted(client, chinese.encode("gb18030"), media)["id"]
        assert ended(client, job)["state"] == "done"
        assert [one["label"] for one in answers(client, job)] == ["fee", "card"] * 20


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, "no content-type"),
        ({"content-type": "application/x-www-form-urlencoded"}, "application/x-www-form-urlencoded"),
        ({"content-type": CSV, "content-encoding": "gzip"}, "text/csv, gzip"),
        ({"content-type": f"{CSV}; charset=klingon"}, "'klingon'"),
    ],
)
def test_other_kinds_of_files_are_refused(client: TestClient, headers: dict[str, str], found: str) -> None:
    told = problem(client.post(JOBS, content=b"text\na\n", headers=headers), 415, "media-type")
    assert told["found"] == found
    assert "content-type: text/csv" in told["try"] or told["try"] == "leave it out"


def test_parquet_wants_pyarrow(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "find_spec", lambda name: None if name == "pyarrow" else find_spec(name))
    reply = client.post(JOBS, content=b"PAR1", headers={"content-type": PARQUET})
    assert "pip install" in problem(reply, 501, "missing-extra")["try"]


def test_a_folder_that_cannot_be_written(client: TestClient, home: Path) -> None:
    (home / ".trunkline").write_bytes(b"a file in its place")
    reply = client.post(JOBS, content=b"text\na\n", headers={"content-type": CSV})
    assert "folder of jobs" in problem(reply, 503, "store")["what"]


def test_what_is_too_large_empty_or_not_here(
    client: TestClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = {"content-type": CSV}
    large = b"text\n" + b"a" * 200_000
    problem(client.post(JOBS, content=large, headers=media), 413, "too-large")
    problem(client.post(JOBS, content=iter([large[:150_000], large[150_000:]]), headers=media), 413, "too-large")
    problem(client.post(JOBS, content=b"", headers=media), 422, "wrong-request")
    problem(client.post(f"{JOBS}?scores=some", content=b"text\na\n", headers=media), 422, "wrong-request")
    problem(client.post("/v1/products/suport/jobs", content=b"text\na\n", headers=media), 404, "unknown-product")
    monkeypatch.setattr(upload, "RESERVE", 10**18)
    problem(client.post(JOBS, content=b"text\na\n", headers=media), 507, "no-room")
    problem(client.post(JOBS, content=iter([b"text\n", b"a\n"]), headers=media), 507, "no-room")
    assert files(home, 0) == []
    assert client.get("/v1/jobs").json() == {"jobs": []}


def test_a_key_makes_a_job_once(client: TestClient, home: Path) -> None:
    key = {"idempotency-key": "k1"}
    first = submitted(client, csv_rows(40), **key)
    again = client.post(JOBS, content=csv_rows(40), headers={"content-type": CSV, **key})
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert again.json()["id"] == first["id"]
    assert again.headers["location"] == f"/v1/jobs/{first['id']}"
    other = client.post(JOBS, content=csv_rows(41), headers={"content-type": CSV, **key})
    problem(other, 422, "wrong-request")
    assert [job["id"] for job in client.get("/v1/jobs").json()["jobs"]] == [first["id"]]
    ended(client, first["id"])
    files(home, 1)


def test_all_scores_where_wanted(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.serve.app.TOP_SCORES", 2)
    for query, count in (("", 2), ("?scores=all", 3)):
        job = client.post(JOBS + query, content=b"text\na\n", headers={"content-type": CSV}).json()["id"]
        ended(client, job)
        assert len(answers(client, job)[0]["scores"]) == count


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row takes 5 ms."""
    import time

    quick = ToyEngine.run

    def run(self: ToyEngine, call: Any) -> Any:
        time.sleep(0.005 * len(call.items))
        return quick(self, call)

    monkeypatch.setattr(ToyEngine, "run", run)


@pytest.mark.usefixtures("slow")
def test_progress_is_shown_and_a_cancel_is_noticed(
    client: TestClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunkline.serve.jobs.ledger.KEEP_SECONDS", 0.05)
    job, behind = submitted(client, csv_rows(5_000))["id"], submitted(client, csv_rows(30))["id"]
    now = until(lambda: shown(client, job), lambda found: found["rows_done"] > 0)
    assert (now["state"], now["rows_total"]) == ("running", 5_000)
    assert now["seconds_left"] == pytest.approx((5_000 - now["rows_done"]) / now["rows_per_second"], rel=0.02)
    assert problem(client.get(f"/v1/jobs/{job}/answers"), 409, "job-state")["found"] == "running"
    told = client.post(f"/v1/jobs/{job}/cancel")
    assert (told.status_code, told.json()["state"]) == (200, "cancelled")
    assert client.post(f"/v1/jobs/{job}/cancel").status_code == 200  # again is no mistake
    assert ended(client, behind)["state"] == "done"  # its worker is free
    done = shown(client, job)["rows_done"]
    assert done < 5_000
    assert not files(home, 1)[0].startswith(job)
    assert problem(client.post(f"/v1/jobs/{behind}/cancel"), 409, "job-state")["found"] == "done"
    assert shown(client, job)["rows_done"] == done


@pytest.mark.usefixtures("slow")
def test_a_deleted_job_is_gone_under_way_or_done(client: TestClient, home: Path) -> None:
    running, queued = submitted(client, csv_rows(3_000))["id"], submitted(client, csv_rows(20))["id"]
    until(lambda: shown(client, running), lambda found: found["state"] == "running")
    assert client.delete(f"/v1/jobs/{running}").status_code == 204
    problem(client.get(f"/v1/jobs/{running}"), 404, "unknown-job")
    problem(client.delete(f"/v1/jobs/{running}"), 404, "unknown-job")
    ended(client, queued)
    assert client.delete(f"/v1/jobs/{queued}").status_code == 204
    assert files(home, 0) == []


@pytest.mark.usefixtures("slow")
def test_only_so_many_open_jobs(client: TestClient, home: Path) -> None:
    jobs = [submitted(client, csv_rows(2_000))["id"] for _ in range(3)]
    told = problem(client.post(JOBS, content=csv_rows(10), headers={"content-type": CSV}), 429, "caller-busy")
    assert told["wanted"] == "fewer than 3"
    folders = {file.name for file in Place(home).home.iterdir() if file.is_dir()}
    assert folders == set(jobs)
    client.post(f"/v1/jobs/{jobs[2]}/cancel")
    submitted(client, csv_rows(10))


@pytest.mark.usefixtures("slow")
def test_jobs_take_turns(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.serve.jobs.ledger.KEEP_SECONDS", 0.05)
    monkeypatch.setattr("trunkline.serve.jobs.work.TURN_SECONDS", 0.1)
    monkeypatch.setattr("trunkline.serve.jobs.work._SKIPS", 1)
    large, small = submitted(client, csv_rows(1_500))["id"], submitted(client, csv_rows(40))["id"]
    assert ended(client, small)["state"] == "done"
    assert shown(client, large)["rows_done"] < 1_500
    assert ended(client, large)["state"] == "done"
    check(answers(client, large), 1_500)


def test_a_version_that_is_gone_fails_the_job_with_a_reason(
    client: TestClient, home: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunkline.serve.jobs.runner.POLL_SECONDS", 0.1)
    place = Place(home, store)
    from trunkline.store.jobs import Job, add_job

    told: dict[str, Any] = {"media": CSV, "encoding": None, "top": 5, "columns": {}, "own_ids": False}
    for version, digest, says in (("v7", "d" * 64, "no version 'v7'"), ("v1", "d" * 64, "another bundle")):
        job = Job(
            kind="bulk", product="support", organisation="", owner="anonymous", created=datetime.now(UTC),
            place=place.marked(), request={**told, "version": version, "digest": digest},
        )  # fmt: skip
        place.folder(job.id).mkdir()
        place.rows(job.id).write_bytes(csv_rows(5))
        assert add_job(store, job, 10)
        found = ended(client, job.id)
        assert found["state"] == "failed"
        assert f"support {version}, for which the job was made" in found["error"]["what"]
        assert says in found["error"]["found"]


def test_other_organisations_know_nothing_of_a_job(client: TestClient, store: Store) -> None:
    now = datetime.now(UTC)
    headers = {
        name: {"authorization": f"Bearer {add_key(store, name, organisation, scopes, now)[0]}"}
        for name, organisation, scopes in [
            ("owner", "acme", ["predict"]), ("mate", "acme", ["predict"]), ("other", "rival", ["predict", "admin"]),
            ("reader", "acme", ["read"]),
        ]
    }  # fmt: skip
    reply = client.post(JOBS, content=csv_rows(20), headers={"content-type": CSV, **headers["owner"]})
    job = reply.json()["id"]

    def look(who: str, path: str = "", method: str = "GET") -> int:
        return client.request(method, f"/v1/jobs/{job}{path}", headers=headers[who]).status_code

    until(lambda: client.get(f"/v1/jobs/{job}", headers=headers["owner"]).json(), lambda found: found["state"] == "done")
    assert [look("other"), look("other", "/answers"), look("other", "/cancel", "POST"), look("other", "", "DELETE")] == [404] * 4
    assert client.get("/v1/jobs", headers=headers["other"]).json() == {"jobs": []}
    assert look("reader", "/answers") == 403
    assert client.get(f"/v1/jobs/{job}").status_code == 401
    assert [look("mate"), look("mate", "/answers")] == [200, 200]
    listed = client.get("/v1/jobs?limit=1", headers=headers["mate"]).json()["jobs"]
    assert [one["id"] for one in listed] == [job]
    assert look("mate", "", "DELETE") == 204


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "many", "²"])
def test_a_list_of_a_strange_length(client: TestClient, limit: str) -> None:
    problem(client.get("/v1/jobs", params={"limit": limit}), 422, "wrong-request")


@pytest.mark.parametrize("id_", ["x", "0" * 31, "%00", "0" * 32, "..%2f..%2fetc", "ABCDEF" * 5 + "00"])
def test_a_job_that_is_none(client: TestClient, id_: str) -> None:
    assert client.get(f"/v1/jobs/{id_}").status_code == 404


def test_the_labels_are_those_of_the_texts(client: TestClient) -> None:
    """The other tests rest on it."""
    rows_ = [{"text": text(n)} for n in range(30)]
    found = client.post("/v1/products/support/predict", json={"rows": rows_}).json()["answers"]
    assert [one["label"] for one in found] == [LABELS[n % 3] for n in range(30)]
