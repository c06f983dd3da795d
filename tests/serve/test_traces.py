"""Traces, as a collector on this machine gets them from the real server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.serve.collector import Collector, collecting, told
from tests.serve.live import live
from tests.serve.parts import ToyTable, make_product
from tests.serve.test_run import running

from trunkline.engines.settings import Settings
from trunkline.engines.threads import workers
from trunkline.errors import TrunklineError
from trunkline.serve.app import build
from trunkline.serve.live import LiveCatalog
from trunkline.serve.schedule import Scheduler, Ticket
from trunkline.serve.traces import Traces, send_to, start, wanted
from trunkline.types import Call, EngineCard, Steps

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PREDICT = "POST /v1/products/{name}/predict"


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SERVICE_NAME"):
        monkeypatch.setenv(name, "")  # so that what a test sets is taken back
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")


@contextmanager
def traced(folder: Path) -> Iterator[tuple[str, Collector, Traces]]:
    """(address of a server, its collector, its traces)"""
    with collecting() as collector:
        send_to(collector.url)
        traces = start()
        assert traces is not None
        try:
            with live(build(LiveCatalog(folder), traces=traces)) as host:
                yield f"http://{host}", collector, traces
        finally:
            traces.close()


def attributes(span: Span) -> dict[str, object]:
    return told(span.attributes)


def test_a_call_is_one_trace_from_request_to_batch(tmp_path: Path) -> None:
    make_product(tmp_path, "support")
    sent = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"}
    with traced(tmp_path) as (url, collector, _):
        body = {"rows": [{"text": "aab"}, {"text": "bba"}]}
        assert httpx.post(f"{url}/v1/products/support/predict", json=body, headers=sent, timeout=60).status_code == 200
        collector.until(lambda: len(collector.spans) >= 4)
    (request,), (program,) = collector.named(PREDICT), collector.named("program")
    queues, batches = collector.named("queue"), collector.named("batch")
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert request.parent_span_id.hex() == PARENT
    assert request.kind == Span.SPAN_KIND_SERVER
    assert program.parent_span_id == request.span_id
    assert queues
    assert {span.parent_span_id for span in (*queues, *batches)} == {program.span_id}
    assert sum(attributes(span)["trunkline.rows"] for span in batches) == 2  # type: ignore[misc]
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/v1/products/{name}/predict",
        "http.response.status_code": 200,
        "trunkline.request_id": "mine",
        "trunkline.product": "support",
        "trunkline.version": "v1",
        "trunkline.rows": 2,
    }
    assert attributes(batches[0])["trunkline.engine"] == "trunk:toy"
    for queue, batch in zip(queues, batches, strict=True):
        assert request.start_time_unix_nano <= queue.start_time_unix_nano <= queue.end_time_unix_nano
        assert queue.end_time_unix_nano <= batch.start_time_unix_nano <= batch.end_time_unix_nano
    assert collector.services == {"trunkline"}


class Gate:
    """An engine whose first batch waits until it is opened; one thread may work in it, so others advance programs."""

    card = EngineCard("gate", "f" * 64, "text", ("pooled",), 1, "CC0", "made up")
    settings = Settings(threads=1)

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = threading.Event()

    def cost(self, item: str) -> int:
        return len(item)

    def run(self, call: Call) -> Any:
        self.entered.set()
        assert self.opened.wait(60)
        return np.ones((len(call.items), 1), np.float32)

    def stream(self, call: Call) -> Iterator[Any]:
        yield self.run(call)


def asking(text: str) -> Steps[float]:
    (vectors,) = yield [Call("e", [text])]
    return float(vectors[0][0])


@pytest.mark.skipif(workers() < 2, reason="with one thread nothing meets a batch that waits")
def test_programs_that_meet_in_a_batch_are_linked() -> None:
    exporter, gate = InMemorySpanExporter(), Gate()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces = Traces(provider)
    scheduler = Scheduler({"e": gate}, lambda call, item: str(item), traces=traces)

    async def ask(text: str) -> float:
        with traces.program(text) as span:
            return (await scheduler.run(asking(text), Ticket(product=text, span=span)))[0]

    async def all_of_them() -> None:
        first = asyncio.create_task(ask("x"))
        assert await asyncio.to_thread(gate.entered.wait, 60)
        others = [asyncio.create_task(ask(f"same {at}")) for at in range(5)]
        others += [asyncio.create_task(scheduler.run(asking("same 0"), Ticket()))]  # type: ignore[arg-type]  # of no trace
        try:
            until = time.monotonic() + 30
            while scheduler.waiting()["e"] < 5:
                assert time.monotonic() < until
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
        finally:
            gate.opened.set()
        await asyncio.gather(first, *others)

    # Spans of a batch follow the answers.
    asyncio.run(all_of_them())
    until = time.monotonic() + 60
    while len(exporter.get_finished_spans()) < 3 * 6:
        assert time.monotonic() < until
        time.sleep(0.01)
    spans = exporter.get_finished_spans()
    programs = {span.context.span_id: span for span in spans if span.name == "program"}
    batches = [span for span in spans if span.name == "batch" and len(span.links)]
    assert len(batches) == 5
    for batch in batches:
        assert batch.parent is not None
        assert dict(batch.attributes or {}) == {
            "trunkline.engine": "e",
            "trunkline.rows": 1,
            "trunkline.batch.rows": 5,
            "trunkline.batch.cost": 30,
        }
        linked = {link.context.span_id for link in batch.links}
        met = {one.parent.span_id for one in batches if one.parent is not None}
        assert linked == met - {batch.parent.span_id}
        assert met <= programs.keys()
    waits = {span.parent.span_id: span for span in spans if span.name == "queue" and span.parent is not None}
    for batch in batches:
        assert batch.parent is not None
        waited = waits[batch.parent.span_id]
        assert (waited.end_time or 0) - (waited.start_time or 0) > 90_000_000
        assert batch.start_time == waited.end_time


def test_nothing_that_a_caller_sent_is_in_a_span(tmp_path: Path) -> None:
    make_product(tmp_path, "support")
    make_product(tmp_path, "risk", inputs={"amount": "number"}, head=ToyTable("amount", [1.0]), labels=("高", "低"))
    with traced(tmp_path) as (url, collector, _):
        headers = {"authorization": "Bearer tl_swordfish", "cookie": "swordfish"}
        for path, body, status in (
            ("support/predict", {"row": {"text": "swordfish"}}, 200),
            ("support/predict?scores=swordfish", {"row": {"text": "a"}}, 422),
            ("support/predict", {"rows": [{"text": "swordfish"}, {"text": "break"}]}, 200),
            ("support/predict", {"row": {"text": "break"}}, 500),
            ("swordfish/predict", {"row": {"text": "a"}}, 404),
            ("risk/predict", {"row": {"amount": 3}}, 200),
        ):
            reply = httpx.post(f"{url}/v1/products/{path}", json=body, headers=headers, timeout=60)
            assert reply.status_code == status, reply.text
        assert httpx.get(f"{url}/swordfish", headers=headers, timeout=60).status_code == 404
        collector.until(lambda: len(collector.named(PREDICT)) == 6 and bool(collector.named("GET")))
        collector.until(lambda: {"program"} <= {span.name for span in collector.spans})
    assert b"swordfish" not in collector.raw
    assert b"secret row content" not in collector.raw
    failed = [span for span in collector.named(PREDICT) if span.status.code == Status.STATUS_CODE_ERROR]
    assert [attributes(span)["error.type"] for span in failed] == ["500"]
    assert {"ValueError"} <= {str(attributes(span).get("error.type")) for span in collector.named("program")}
    inline = [span for span in collector.named("program") if attributes(span)["trunkline.product"] == "risk"]
    assert len(inline) == 1  # answered on the event loop, and seen all the same


def test_what_was_not_sampled_costs_no_span(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_product(tmp_path, "support")
    with traced(tmp_path) as (url, collector, _):
        for flag in ("00", "01"):
            sent = {"traceparent": f"00-{TRACE}-{PARENT}-{flag}"}
            httpx.post(f"{url}/v1/products/support/predict", json={"row": {"text": flag}}, headers=sent, timeout=60)
        collector.until(lambda: len(collector.spans) >= 4)
    assert len(collector.named(PREDICT)) == len(collector.named("program")) == 1


def test_workers_send_theirs_and_what_waits_is_sent_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_product(tmp_path / "products", "support")
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "answers")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
        with running(tmp_path / "products", tmp_path / "log") as server:
            assert httpx.post(f"{server.url}/v1/products/support/predict", json={"row": {"text": "a"}}, timeout=60).status_code == 200
            assert collector.spans == []
            server.stop()
    assert {PREDICT, "program", "queue", "batch"} <= {span.name for span in collector.spans}
    assert collector.services == {"answers"}
    assert {one["x-tenant"] for one in collector.headers} == {"acme"}


def test_a_collector_that_is_gone_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_product(tmp_path / "products", "support")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with running(tmp_path / "products", tmp_path / "log") as server:
        assert httpx.post(f"{server.url}/v1/products/support/predict", json={"row": {"text": "a"}}, timeout=60).status_code == 200
        began = time.monotonic()
        server.stop()
    assert time.monotonic() - began < 20  # OpenTelemetry's own patience is 30
    lines = (tmp_path / "log").read_text().splitlines()
    assert not [line for line in lines if "Traceback" in line]


def test_opentelemetrys_own_variables_decide() -> None:
    there = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
    assert wanted(there)
    assert wanted({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"})
    assert wanted({"OTEL_TRACES_EXPORTER": "otlp"})
    assert not wanted({})
    assert not wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": ""})  # as if it weren't set, by their rule
    assert not wanted({**there, "OTEL_SDK_DISABLED": "TRUE"})
    assert not wanted({**there, "OTEL_TRACES_EXPORTER": "none"})


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "grpc"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "zipkin"}, "zipkin"),
    ],
)
def test_what_is_not_spoken_is_said(variables: dict[str, str], found: str) -> None:
    with pytest.raises(TrunklineError, match="OTLP over HTTP") as caught:
        wanted(variables)
    assert caught.value.found == found


@pytest.mark.parametrize("collector", ["collector:4318", "grpc://collector:4317", "", "http://", "http://[", "http://collector:99999"])
def test_an_address_that_is_none_is_said(collector: str) -> None:
    with pytest.raises(TrunklineError, match="can't be sent there"):
        send_to(collector)


@pytest.mark.parametrize("collector", ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces", "http://c:4318/v1/traces/"])
def test_an_address_may_be_the_whole_one(collector: str) -> None:
    send_to(collector)
    assert os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] == "http://c:4318/v1/traces"


def test_without_traces_nothing_of_opentelemetry_is_loaded() -> None:
    code = "import trunkline.serve.app, trunkline.serve.run, sys; print([n for n in sys.modules if n.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
