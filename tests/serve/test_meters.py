"""What is counted, under which names, in one process and in several."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from tests.serve.live import app_of, live

from trunkline.serve import meters
from trunkline.serve.meters import Meter
from trunkline.serve.schedule import Spent

WORKER = """
import sys
from trunkline.serve.meters import Meter
from trunkline.serve.schedule import Spent
rows, waits = int(sys.argv[1]), int(sys.argv[2])
meter = Meter({"support"}.__contains__, lambda: {"trunk:toy": waits})
meter.request("support", "v1", "trunk:toy", 200, rows, Spent(0.02, 0.2, rows, rows - 1), 0.3)
meter.executed("trunk:toy", rows, 0.1)
print("ready", flush=True)
sys.stdin.readline()
print(meter.text()[0].decode())
"""


def numbers(text: str) -> dict[tuple[str, str], float]:
    """(sample, its labels as one string) -> value; buckets left out."""
    return {
        (sample.name, " ".join(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_created"))
    }


@pytest.fixture
def meter() -> Meter:
    return Meter({"support", "risk"}.__contains__, lambda: {"trunk:toy": 7})


def test_requests_rows_batches_and_times(meter: Meter) -> None:
    meter.request("support", "v1", "trunk:toy", 200, 3, Spent(0.25, 0.5, asked=3, computed=1), 1.0)
    meter.request("support", "v1", "trunk:toy", 200, 2, Spent(0.25, 0.5, asked=2, computed=2), 1.0)
    meter.request("support", "v1", "trunk:toy", 422, 0, Spent(), 0.001)
    meter.request("risk", "v2", "", 200, 1, Spent(), 0.001)
    meter.executed("trunk:toy", 3, 0.5)
    text, media = meter.text()
    assert media.startswith("text/plain")
    found = numbers(text.decode())
    labels = "trunk:toy support v1"  # engine, product, version
    assert found["trunkline_requests_total", f"{labels.removesuffix(' v1')} 200 v1"] == 2
    assert found["trunkline_requests_total", f"{labels.removesuffix(' v1')} 422 v1"] == 1
    assert found["trunkline_inferences_total", labels] == 5
    assert found["trunkline_reused_rows_total", labels] == 2
    assert found["trunkline_queue_seconds_sum", labels] == 0.5
    assert found["trunkline_queue_seconds_count", labels] == 2  # the failed one waited for nothing
    assert found["trunkline_compute_seconds_sum", labels] == 1.0
    assert found["trunkline_request_seconds_count", labels] == 3
    assert found["trunkline_inferences_total", " risk v2"] == 1
    assert found["trunkline_executions_total", "trunk:toy"] == 1
    assert found["trunkline_executed_rows_total", "trunk:toy"] == 3
    assert found["trunkline_executed_seconds_total", "trunk:toy"] == 0.5
    assert found["trunkline_waiting_rows", "trunk:toy"] == 7


def test_names_that_are_not_served_are_no_labels(meter: Meter) -> None:
    for n in range(500):
        meter.request(f"guess-{n}", f"v{n}", "x", 404, 0, Spent(), 0.001)
    text = meter.text()[0].decode()
    assert "guess" not in text
    assert numbers(text)["trunkline_requests_total", " other 404 "] == 500


def test_series_are_bounded_and_nothing_is_lost(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "MAX_SERIES", 10)
    for n in range(50):
        meter.request("support", f"v{n}", "trunk:toy", 200, 1, Spent(), 0.001)
    found = numbers(meter.text()[0].decode())
    rows = {labels: value for (name, labels), value in found.items() if name == "trunkline_inferences_total"}
    assert len(rows) == 11
    assert rows[" other "] == 40
    assert sum(rows.values()) == 50


def test_over_a_socket_in_both_forms(meter: Meter) -> None:
    meter.request("support", "v1", "trunk:toy", 200, 1, Spent(), 0.001)
    with live(app_of(meters.routes(meter))) as address:
        plain = httpx.get(f"http://{address}/metrics")
        assert plain.headers["content-type"].startswith("text/plain")
        assert numbers(plain.text)["trunkline_inferences_total", "trunk:toy support v1"] == 1
        accept = {"accept": "application/openmetrics-text; version=1.0.0"}
        modern = httpx.get(f"http://{address}/metrics", headers=accept)
        assert modern.headers["content-type"].startswith("application/openmetrics-text")
        assert modern.text.endswith("# EOF\n")
    assert TestClient(app_of(meters.routes(meter))).post("/metrics").status_code == 405


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(meters.DIRECTORY, "")  # put back afterwards
    folder = tmp_path / "counts"
    folder.mkdir()
    (folder / "counter_1.db").write_bytes(b"of an earlier run")
    meters.share(folder)
    return folder


def test_any_worker_answers_for_all_and_counts_outlive_a_worker(shared: Path) -> None:
    assert list(shared.iterdir()) == []
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rows), str(waits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rows, waits in ((3, 5), (4, 6))
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        text, _ = workers[0].communicate("\n", timeout=20)
        found = numbers(text)
        assert found["trunkline_inferences_total", "trunk:toy support v1"] == 7
        assert found["trunkline_reused_rows_total", "trunk:toy support v1"] == 2
        assert found["trunkline_queue_seconds_count", "trunk:toy support v1"] == 2
        assert found["trunkline_executions_total", "trunk:toy"] == 2
        assert found["trunkline_waiting_rows", "trunk:toy"] == 11
        meters.gone(workers[0].pid)
        text, _ = workers[1].communicate("\n", timeout=20)
        found = numbers(text)
        assert found["trunkline_inferences_total", "trunk:toy support v1"] == 7
        assert found["trunkline_waiting_rows", "trunk:toy"] == 6
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate(timeout=20)
