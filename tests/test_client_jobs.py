"""Both clients' bulk jobs against the real server over loopback, and against one that fails on purpose."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import uvicorn
from tests.serve.jobs.made import LABELS, csv_rows, text
from tests.serve.parts import ToyEngine, make_product, register
from tests.test_client import BOTH, Faulty, Kind, ask

from trunkline.client import Answer, Job, JobError, ProblemError, UnreachableError, sending
from trunkline.errors import RequestError
from trunkline.serve.app import build
from trunkline.serve.limits import Limits
from trunkline.serve.live import LiveCatalog
from trunkline.serve.run import listen


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Faulty, str]]:
    """With its runner: the app's lifespan is on."""
    root = tmp_path_factory.mktemp("products")
    with register(), listen("127.0.0.1", 0) as listening:
        make_product(root, "support")
        app = build(LiveCatalog(root), Limits(job_bytes=300_000))
        faulty = Faulty(app)

        async def whole(scope: Any, receive: Any, send: Any) -> None:
            await (app if scope["type"] == "lifespan" else faulty)(scope, receive, send)

        server = uvicorn.Server(uvicorn.Config(whole, log_config=None, access_log=False, timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            until = time.monotonic() + 10
            while not server.started and time.monotonic() < until:
                time.sleep(0.01)
            yield faulty, f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture
def faulty(real: tuple[Faulty, str]) -> Faulty:
    app, _ = real
    app.seen.clear()
    app.faults.clear()
    return app


@pytest.fixture
def url(real: tuple[Faulty, str], faulty: Faulty, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sending, "_random_wait", lambda state: 0.01)
    return real[1]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_bytes(csv_rows(300))
    return path


def done(kind: Kind, url: str, rows: Path, **options: Any) -> Job:
    job = ask(kind, lambda client: client.submit("support", rows, **options), url)
    assert isinstance(job, Job)
    waited = ask(kind, lambda client: client.wait(job, every=0.05), url)
    assert isinstance(waited, Job)
    return waited


@BOTH
def test_from_a_file_to_answers(kind: Kind, url: str, rows: Path, tmp_path: Path) -> None:
    seen: list[Job] = []
    job = ask(kind, lambda client: client.submit("support", rows), url)
    assert (job.product, job.version, job.state, job.error) == ("support", "v1", "queued", None)
    found = ask(kind, lambda client: client.wait(job.id, progress=seen.append, every=0.02), url)
    assert (found.state, found.rows_done, found.rows_total, found.rows_failed) == ("done", 300, 300, 0)
    assert seen[-1] == found
    assert found in ask(kind, lambda client: client.jobs(limit=5), url)
    assert ask(kind, lambda client: client.job(job), url) == found
    answers = ask(kind, lambda client: client.answers(job), url)
    assert all(isinstance(one, Answer) for one in answers)
    assert [(one.id, one.label, one.product, one.version) for one in answers] == [
        (n, LABELS[n % 3], "support", "v1") for n in range(300)
    ]
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        path = ask(kind, lambda client, name=name: client.download(job, tmp_path / name), url)  # type: ignore[misc]
        assert path == tmp_path / name
    assert (tmp_path / "a.csv").read_bytes().startswith(b"id,status,label,scores,error,message\r\n")
    assert json.loads((tmp_path / "a.jsonl").read_text().splitlines()[7])["label"] == LABELS[7 % 3]
    assert pq.read_metadata(tmp_path / "a.parquet").num_rows == 300
    ask(kind, lambda client: client.download(job, tmp_path / "answers", format="csv"), url)
    assert (tmp_path / "answers").read_bytes() == (tmp_path / "a.csv").read_bytes()
    ask(kind, lambda client: client.delete(job), url)
    with pytest.raises(ProblemError, match="there is no job"):
        ask(kind, lambda client: client.job(job), url)


@BOTH
def test_files_of_other_names(kind: Kind, url: str, tmp_path: Path) -> None:
    lines = tmp_path / "rows.jsonl"
    lines.write_text("".join(json.dumps({"text": text(n)}) + "\n" for n in range(20)))
    assert done(kind, url, lines).rows_done == 20
    strange = tmp_path / "rows.txt"
    strange.write_bytes("text\n包裹 aaa\n".encode("gb18030"))
    with pytest.raises(RequestError, match="isn't known"):
        ask(kind, lambda client: client.submit("support", strange), url)
    assert done(kind, url, strange, media="text/csv; charset=gb18030").rows_done == 1
    with pytest.raises(OSError, match="nothing"):
        ask(kind, lambda client: client.submit("support", tmp_path / "nothing.csv"), url)
    with pytest.raises(RequestError, match="form of the answers"):
        ask(kind, lambda client: client.download("0" * 32, tmp_path / "a.txt"), url)


@BOTH
def test_an_upload_that_breaks_off_is_sent_again_and_makes_one_job(
    kind: Kind, url: str, faulty: Faulty, rows: Path
) -> None:
    before = {job.id for job in ask(kind, lambda client: client.jobs(), url)}
    faulty.faults = ["drop", (503, {})]
    own = {"idempotency_key": f"nightly-{kind.__name__}"}
    job = ask(kind, lambda client: client.submit("support", rows, **own), url)
    again = ask(kind, lambda client: client.submit("support", rows, **own), url)
    assert again.id == job.id
    assert {job.id for job in ask(kind, lambda client: client.jobs(), url)} - before == {job.id}


@BOTH
def test_a_download_that_breaks_off_is_fetched_again_or_leaves_nothing(
    kind: Kind, url: str, faulty: Faulty, rows: Path, tmp_path: Path
) -> None:
    job = done(kind, url, rows)
    faulty.faults = ["drop", "drop"]
    path = ask(kind, lambda client: client.download(job, tmp_path / "a.ndjson"), url)
    assert len(path.read_bytes().splitlines()) == 300
    faulty.faults = ["drop"] * 50
    with pytest.raises(UnreachableError):
        ask(kind, lambda client: client.download(job, tmp_path / "b.ndjson"), url, deadline=0.3)
    faulty.faults = []
    with pytest.raises(ProblemError, match="there is no job"):
        ask(kind, lambda client: client.download("0" * 32, tmp_path / "b.ndjson"), url)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.ndjson", "rows.csv"]


@BOTH
def test_what_a_job_failed_of(kind: Kind, url: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("text\na\nb,c\n")
    job = ask(kind, lambda client: client.submit("support", bad), url)
    with pytest.raises(JobError, match="another number of cells") as caught:
        ask(kind, lambda client: client.wait(job, every=0.05), url)
    assert (caught.value.job.state, caught.value.where) == ("failed", "the file, line 3")
    large = tmp_path / "large.csv"
    large.write_bytes(b"text\n" + b"a\n" * 400_000)
    with pytest.raises(ProblemError, match="too large") as told:
        ask(kind, lambda client: client.submit("support", large), url)
    assert told.value.status == 413


@BOTH
def test_one_that_takes_long_can_be_stopped(
    kind: Kind, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = ToyEngine.run

    def slow(self: ToyEngine, call: Any) -> Any:
        time.sleep(0.005 * len(call.items))
        return quick(self, call)

    monkeypatch.setattr(ToyEngine, "run", slow)
    rows = tmp_path / "rows.csv"
    rows.write_bytes(csv_rows(9_000).replace(b"\r\n", f" {kind.__name__}\r\n".encode()))
    job = ask(kind, lambda client: client.submit("support", rows), url)
    with pytest.raises(JobError, match="hasn't ended in time"):
        ask(kind, lambda client: client.wait(job, every=0.05, timeout=0.2), url)
    assert ask(kind, lambda client: client.cancel(job), url).state == "cancelled"
    with pytest.raises(JobError, match="was cancelled"):
        ask(kind, lambda client: client.wait(job), url)
    with pytest.raises(ProblemError, match="no answers"):
        ask(kind, lambda client: client.answers(job), url)
