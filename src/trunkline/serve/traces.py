"""OpenTelemetry traces, where they are asked for: a request, the programs of its products, how long their rows waited
for an engine, and the batches that computed them, each linked to the other programs in it.

Of what a caller sent, only the request's id goes into a span: no row, key, path or query. Without `start` nothing of
OpenTelemetry is imported, and a call costs the test whether there are traces.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import trunkline
from trunkline.errors import MissingExtra, TrunklineError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span
    from starlette.routing import Route
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_ENDPOINTS = (_ENDPOINT, "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
_PATH = "/v1/traces"
_SPOKEN = "http/protobuf"
_METHODS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
_LINKS = 64  # at most in a batch's span; OpenTelemetry keeps 128
_CLOSE_SECONDS = 3.0  # for what was not sent yet, when the server ends


def send_to(collector: str) -> None:
    """Have this process and those it starts send traces there: http://host:4318, with or without its /v1/traces. Raises
    TrunklineError."""
    try:
        parts = urlsplit(collector)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that don't close, a port over 65535
        good = False
    if not good:
        raise TrunklineError(
            "traces can't be sent there", found=collector[:80], wanted="a collector's address for OTLP over HTTP",
            hint="--traces http://localhost:4318",
        )  # fmt: skip
    os.environ |= {_ENDPOINT: collector.rstrip("/").removesuffix(_PATH) + _PATH, "OTEL_TRACES_EXPORTER": "otlp"}


def wanted(environ: Mapping[str, str] = os.environ) -> bool:
    """Do OpenTelemetry's own variables ask for traces? Raises TrunklineError where they name what isn't spoken here."""
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    if exporter != "otlp" and not any(environ.get(name) for name in _ENDPOINTS):
        return False
    spoken = [environ[name] for name in _PROTOCOLS if environ.get(name, _SPOKEN) != _SPOKEN]
    if spoken or exporter not in ("", "otlp"):
        raise TrunklineError(
            "traces go out by OTLP over HTTP only",
            found=spoken[0] if spoken else exporter,
            wanted=_SPOKEN,
            hint=f"{_PROTOCOLS[0]}={_SPOKEN} and the collector's port for it, by custom 4318",
        )
    return True


def start() -> Traces | None:
    """Traces to the collector that OTEL_* variables name, None where they ask for none. Sampling, headers and names
    are theirs too. Raises TrunklineError, MissingExtra."""
    if not wanted():
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingExtra("OpenTelemetry", "otel") from error
    if "service.name=" not in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        os.environ.setdefault("OTEL_SERVICE_NAME", "trunkline")
    about: dict[str, Any] = {"service.version": trunkline.__version__, "process.pid": os.getpid()}
    provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)


class Traces:
    """Makes spans of what the server tells. `computed` may be called from any thread."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("trunkline.serve", trunkline.__version__)
        self._parents = TraceContextTextMapPropagator()
        self._epoch = time_ns() - perf_counter_ns()

    @contextmanager
    def request(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> Iterator[Span]:
        """The current span while a request is answered: of the caller's trace where it sent one (W3C Trace Context)."""
        from opentelemetry.trace import SpanKind

        sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers if name.startswith(b"trace")}
        known = method if method in _METHODS else "_OTHER"
        with self._tracer.start_as_current_span(
            known,
            self._parents.extract(sent),
            SpanKind.SERVER,
            {"http.request.method": known},
            record_exception=False,  # a message or a traceback could quote a row
            set_status_on_exception=False,
        ) as span:
            yield span

    @contextmanager
    def program(self, product: str) -> Iterator[Span]:
        """The current span while a product's program runs; `Ticket.span` carries it into the queues."""
        with self._tracer.start_as_current_span(
            "program", attributes={"trunkline.product": product}, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                raise

    def computed(
        self, engine: str, asked: Sequence[tuple[Any, float]], cost: int, rows: int, began: float, ended: float
    ) -> None:
        """A batch has run. asked: (span of a program, when it asked for a row), a pair for each row of each program;
        rows: those computed, each once; cost: of all of them (tokens). Times are `perf_counter`'s, seconds."""
        programs: dict[int, tuple[Span, float, int]] = {}
        for span, added in asked:
            if span is not None and span.is_recording():
                _, first, count = programs.get(id(span), (span, added, 0))
                programs[id(span)] = (span, min(first, added), count + 1)
        contexts = [span.get_span_context() for span, _, _ in programs.values()]
        for span, added, count in programs.values():
            about = {"trunkline.engine": engine, "trunkline.rows": count}
            start = max(self._at(added), getattr(span, "start_time", 0))  # a row that another had asked for before
            turn = max(self._at(began), start)
            self._child(span, "queue", about, start, turn)
            about |= {"trunkline.batch.rows": rows, "trunkline.batch.cost": cost}
            others = [one for one in contexts if one is not span.get_span_context()]
            self._child(span, "batch", about, turn, max(self._at(ended), turn), others[:_LINKS])

    def close(self) -> None:
        """Sends what waits, for some seconds at most: a collector that can't be reached must not hold the server up."""
        ending = Thread(target=self._provider.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(_CLOSE_SECONDS)

    def _at(self, seconds: float) -> int:
        return self._epoch + int(seconds * 1e9)

    def _child(
        self, parent: Span, name: str, about: Mapping[str, Any], start: int, end: int, others: Sequence[Any] = ()
    ) -> None:
        from opentelemetry.trace import Link, set_span_in_context

        links = [Link(context) for context in others]
        self._tracer.start_span(name, set_span_in_context(parent), attributes=about, links=links, start_time=start).end(end)


class Traced:
    """Around the whole app: a span for each request, named by its route."""

    def __init__(self, app: ASGIApp, traces: Traces, routes: Iterable[Route]) -> None:
        self.app, self._traces = app, traces
        self._routes: dict[tuple[Any, frozenset[str]], str] = {(route.endpoint, frozenset(route.param_convertors)): route.path for route in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._traces.request(scope["method"], scope["headers"]) as span:
            try:
                await self.app(scope, receive, noted)
            finally:
                if span.is_recording():
                    self._tell(span, scope, status)

    def _tell(self, span: Span, scope: Scope, status: int) -> None:
        from opentelemetry.trace import StatusCode

        state = scope.get("state", {})
        route = self._routes.get((scope.get("endpoint"), frozenset(scope.get("path_params", ()))))
        if route is not None:
            span.update_name(f"{scope['method']} {route}")
            span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("trunkline.request_id", state.get("request_id", ""))
        for name in ("product", "version", "rows"):
            if name in state and status < 400:  # of a call that failed the caller alone says what it meant
                span.set_attribute(f"trunkline.{name}", state[name])
        if status >= 500:
            span.set_attribute("error.type", str(status))
            span.set_status(StatusCode.ERROR)
