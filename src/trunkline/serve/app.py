"""The routes of our own protocol; `build` puts the others beside them."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from importlib.resources import files
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

import trunkline
from trunkline.engines.threads import pool
from trunkline.errors import RequestError, TrunklineError, nearest
from trunkline.program import one
from trunkline.serve import form, meters, wire
from trunkline.serve.answer import TOP_SCORES, answering
from trunkline.serve.auth import Auth, Keys
from trunkline.serve.caller import ANYBODY, Caller
from trunkline.serve.catalog import Catalog, Served
from trunkline.serve.computing import Compute, Executed, Here, Vectors, Waiting
from trunkline.serve.examples import Cost, measure, no_engine
from trunkline.serve.idempotency import Idempotency
from trunkline.serve.leaving import while_here
from trunkline.serve.limits import Admission, Limits
from trunkline.serve.live import LiveCatalog
from trunkline.serve.live import routes as rollouts
from trunkline.serve.log import Envelope, request_id
from trunkline.serve.openapi import openapi
from trunkline.serve.opening import Snapshot
from trunkline.serve.problems import http_problem, json_bytes, problem
from trunkline.serve.rollout import Comparisons, identity
from trunkline.serve.rollout import Route as ProductRoute
from trunkline.serve.schedule import Scheduler, Spent, Ticket
from trunkline.serve.traces import Traced, Traces
from trunkline.serve.tuning import settings_of

if TYPE_CHECKING:
    from trunkline.store.database import Store

T = TypeVar("T")

_SLACK_SECONDS = 30  # beyond the deadline, until a call that never ended is given up
INLINE_SECONDS = 0.003  # answered on the event loop: well under the 10 ms that it may ever be held up
SMALL_BODY = 65_536  # bytes that are decoded within a millisecond
_JSON = "application/json"
_LOCKED = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def build(
    live: LiveCatalog,
    limits: Limits | None = None,
    store: Store | None = None,
    traces: Traces | None = None,
    away: Callable[[Compute, Executed], Compute] | None = None,
) -> ASGIApp:
    """The ASGI application that answers with what is live; `store` holds keys and repeated calls, if there is one.
    away: makes of what computes here, and of who counts batches, what computes elsewhere."""
    from trunkline.serve import embeddings, oip  # they stand on this module
    from trunkline.serve.jobs.routes import Jobs
    from trunkline.serve.why_route import why_route

    server = Server(live, limits or Limits(), store, traces, away)
    jobs = Jobs(server, store)
    app = Starlette(
        lifespan=jobs.running,
        routes=[
            Route("/v1/products/{name}/predict", server.predict, methods=["POST"]),  # first, since it is looked for most
            Route("/", server.root),
            Route("/healthz", server.health),
            Route("/docs", server.docs),
            Route("/openapi.json", server.openapi),
            Route("/v1/products", server.products),
            Route("/v1/products/{name}/report", server.report),
            Route("/v1/matrix/predict", server.matrix, methods=["POST"]),
            why_route(server),
            *rollouts(server),
            *jobs.routes(),
            *oip.routes(server, live),
            *embeddings.routes(server),
            *meters.routes(server.meter),
        ],
        exception_handlers={TrunklineError: problem, HTTPException: http_problem, Exception: problem},
    )
    whole = Envelope(Auth(app, Keys(store) if store else None, problem), server.meter)
    return whole if traces is None else Traced(whole, traces, [route for route in app.routes if isinstance(route, Route)])


class Server:
    """The handlers; they share what is live, limits and the compute pool."""

    def __init__(
        self,
        live: LiveCatalog,
        limits: Limits,
        store: Store | None = None,
        traces: Traces | None = None,
        away: Callable[[Compute, Executed], Compute] | None = None,
    ) -> None:
        self.live, self.limits, self._traces = live, limits, traces
        self.admission = Admission(limits)
        self.meter = meters.Meter(
            lambda name: name in self.catalog.products,
            lambda: self.scheduler.waiting(),
            lambda: settings_of(live.engines),
        )
        now = live.snapshot()
        self.scheduler = Scheduler(now.engines, now.key, executed=self.meter.executed, traces=traces)
        here = Here(self.scheduler)
        self.compute: Compute = here if away is None else away(here, self.meter.executed)
        self.comparisons = Comparisons(busy=lambda: self.admission.total > limits.waiting // 4)
        self.idempotency = Idempotency(store, limits.seconds + _SLACK_SECONDS) if store else None
        self._costs: WeakKeyDictionary[Served, Cost] = WeakKeyDictionary()
        self._openapi: tuple[Snapshot, bytes] | None = None

    @property
    def catalog(self) -> Snapshot:
        """What serves at this moment; a handler takes it once."""
        return self.live.snapshot()

    async def root(self, request: Request) -> Response:
        return RedirectResponse("/docs")

    async def health(self, request: Request) -> Response:
        """ok while every product serves, degraded while some were refused."""
        now = self.catalog
        return _json(
            {
                "status": "degraded" if now.refused or now.troubles else "ok",
                "products": len(now.products),
                "refused": len(now.refused),
                "troubles": len(now.troubles),
                "trunkline": trunkline.__version__,
            }
        )

    async def docs(self, request: Request) -> Response:
        page = (files("trunkline.serve") / "docs.html").read_text(encoding="utf-8")
        return _page(page, "connect-src 'self'; img-src data:")

    async def openapi(self, request: Request) -> Response:
        now, made = self.catalog, self._openapi
        if made is None or made[0] is not now:
            compute = Waiting(self.compute)
            document = await asyncio.to_thread(lambda: orjson.dumps(openapi(now, self.limits, compute)))
            made = self._openapi = (now, document)
        return Response(made[1], media_type=_JSON)

    async def products(self, request: Request) -> Response:
        return Response(await aside(self.live.listing), media_type=_JSON)

    async def report(self, request: Request) -> Response:
        served = self.served(request)
        page = await aside(lambda: served.bundle.read("report.html").decode())
        return _page(page, "img-src data:; font-src data:; sandbox allow-scripts allow-popups")

    async def predict(self, request: Request) -> Response:
        from trunkline.serve import ndjson  # it stands on this module

        served = self.served(request)
        if ndjson.wanted(request):
            return await ndjson.reply(self, served, request, top_scores(request))
        sent = form.Form(request, _columns(served), self.limits.rows) if form.wanted(request) else None
        body = await self.body(request, sent)

        def answer() -> Awaitable[Response]:
            return while_here(request, self._predicted(served.name, body, request, sent))

        return await self.once(request, body, answer)

    async def _predicted(self, name: str, body: bytes, request: Request, sent: form.Form | None) -> Response:
        top = top_scores(request)
        parsed = sent.request() if sent else await self._parsed(body)
        assert isinstance(parsed.rows, list)
        _note(request, parsed.request_id, rows=len(parsed.rows))
        route = self.route(name)
        served, rows, began = route.choose(parsed.user, request.state.request_id), parsed.rows, perf_counter()
        try:
            answers, spent = await self.answer(served, rows, request, top)
        except RequestError:
            raise
        except Exception:
            route.of(served).failure()
            raise

        async def again(other: Served, rows: list[Any]) -> list[dict[str, Any]]:
            return (await self._answered(other, rows, request, top))[0]

        seconds = perf_counter() - began
        self.comparisons.after(route, served, rows, answers, seconds, request.state.request_id, again)
        return _json({**identity(served), "answers": answers}, spent)

    async def _parsed(self, body: bytes) -> wire.PredictRequest:
        parse = partial(wire.predict_request, body, self.limits.rows)
        return parse() if len(body) <= SMALL_BODY else await aside(parse)

    async def once(self, request: Request, body: bytes, answer: Callable[[], Awaitable[Response]]) -> Response:
        """A call that carries an Idempotency-Key is computed once, where there is a store to remember it."""
        if self.idempotency is None:
            return await answer()
        return await self.idempotency.once(request, body, answer)

    async def answer(
        self, served: Served, rows: list[Any], request: Request, top: int | None
    ) -> tuple[list[dict[str, Any]], Spent]:
        """One answer a row, in order, and where the time went. Raises RequestError."""
        _note_served(request, served)
        size = getattr(request.state, "size", math.inf)
        if (await self._cost(served)).of(len(rows), size) <= INLINE_SECONDS:
            with self._program(served.name):
                return one(answering(served, rows, top), no_engine), Spent()
        return await self._answered(served, rows, request, top)

    async def _answered(
        self, served: Served, rows: list[Any], request: Request, top: int | None
    ) -> tuple[list[dict[str, Any]], Spent]:
        compute = partial(self.compute.rows, served, rows, top)
        return await self.run(compute, request, served.name, served.bundle.spec.serve.reuse)

    async def _cost(self, served: Served) -> Cost:
        """Measured on first use, in the pool: a bundle that nobody asked yet is verified and replayed by it."""
        cost = self._costs.get(served)
        if cost is None:
            cost = self._costs[served] = await aside(lambda: measure(served))
        return cost

    async def embed(self, engine: str, texts: list[str], request: Request) -> Vectors:
        """The pooled vectors of texts, and how many tokens they have. Raises RequestError."""
        vectors, _ = await self.run(partial(self.compute.vectors, engine, texts), request, engine)
        return vectors

    async def run(
        self,
        compute: Callable[[Ticket], Awaitable[tuple[T, Spent]]],
        request: Request,
        product: str,
        reuse: bool = True,
    ) -> tuple[T, Spent]:
        """What a program ends in, by the queues of the engines that it asks. Raises RequestError."""
        caller = caller_of(request)
        with self.admission.place(caller.organisation), self._program(product) as span:
            deadline = self.limits.deadline(request.headers.get("x-timeout-ms"), monotonic())
            ticket = Ticket(caller.organisation, caller.name, product, deadline, reuse, span)
            end, spent = await compute(ticket)
        _note_spent(request, spent)
        return end, spent

    def _program(self, product: str) -> AbstractContextManager[Any]:
        return nullcontext() if self._traces is None else self._traces.program(product)

    async def matrix(self, request: Request) -> Response:
        body = await self.body(request)
        return await self.once(request, body, lambda: while_here(request, self._matrix(body, request)))

    async def _matrix(self, body: bytes, request: Request) -> Response:
        top = top_scores(request)
        parsed = wire.matrix_request(body)
        _note(request, parsed.request_id, rows=1)
        now = self.catalog
        chosen = {name: route.choose(parsed.user, request.state.request_id) for name, route in now.routes.items()}
        catalog = replace(now, products=chosen)
        return _json(*await self.run(partial(self.compute.matrix, catalog, parsed.row, parsed.products, top), request, "*"))

    def served(self, request: Request) -> Served:
        """The live version of the product that the path names. Raises RequestError."""
        name = request.path_params["name"]
        request.state.product = name[:80]
        return self.route(name).live

    def route(self, name: str) -> ProductRoute:
        now = self.catalog
        if name in now.routes:
            return now.routes[name]
        raise missing(now, name)

    async def body(self, request: Request, sent: form.Form | None = None) -> bytes:
        """The whole of it; a form is told its bytes as they come. Raises RequestError."""
        form.check_media(request, taken=sent is not None)
        limit = self.limits.body_bytes
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
                if sent is not None:
                    sent.feed(chunk)
        except ClientDisconnect:
            raise wire.GoneError("the caller left while it sent the body") from None
        request.state.size = len(body)
        return bytes(body)


async def aside(job: Callable[[], T]) -> T:
    """Off the event loop, in the compute pool."""
    return await asyncio.get_running_loop().run_in_executor(pool(), job)


def _columns(served: Served) -> list[str]:
    """What a row of a call may hold."""
    spec = served.bundle.spec
    return [*spec.inputs, *([spec.data.id] if spec.data.id else [])]


def caller_of(request: Request) -> Caller:
    caller: Caller = getattr(request.state, "caller", ANYBODY)
    return caller


def missing(catalog: Catalog, name: str) -> RequestError:
    """Why no product of that name answers: refused at start, or unknown."""
    if name in catalog.refused:
        why = catalog.refused[name]
        return wire.UnavailableError(
            f"the product {name!r} can't serve: {why.what}", found=why.found, wanted=why.wanted, hint=why.hint
        )
    return wire.UnknownProductError(
        f"no product is called {name[:80]!r}", hint=nearest(name[:80], catalog.products)
    )


def _too_large(limit: int) -> wire.TooLargeError:
    return wire.TooLargeError(
        "the body is too large", wanted=f"at most {limit:,} bytes", hint="send it in several calls"
    )


def top_scores(request: Request) -> int | None:
    wanted = request.query_params.get("scores", "top")
    if wanted not in ("top", "all"):
        raise wire.WrongRequestError(
            "the query parameter scores is unknown", found=repr(wanted[:40]), wanted="top | all"
        )
    return None if wanted == "all" else TOP_SCORES


def _note(request: Request, wanted_id: str | None, rows: int) -> None:
    """For the log line and the header: what only the body could tell."""
    request.state.rows = rows
    if wanted_id is not None:
        request.state.request_id = request_id(wanted_id)


def _note_served(request: Request, served: Served) -> None:
    """For the meter."""
    request.state.version = served.bundle.version
    request.state.engine = served.bundle.manifest.engine


def _note_spent(request: Request, spent: Spent) -> None:
    """One call of HTTP may be several of the scheduler."""
    before = getattr(request.state, "spent", None)
    request.state.spent = spent if before is None else before + spent


def _json(value: Any, spent: Spent | None = None) -> Response:
    """`spent` shows as Server-Timing (W3C), apart: waiting for the engine, and computing."""
    headers = {}
    if spent is not None:
        headers["server-timing"] = f"queue;dur={spent.queue * 1000:.2f}, compute;dur={spent.compute * 1000:.2f}"
    return Response(json_bytes(value), headers=headers, media_type=_JSON)


def _page(html: str, also: str) -> Response:
    """A page whose own scripts run, by their hashes, and nothing else does."""
    scripts = re.findall(r"<script(?:\s[^>]*)?>(.*?)</script>", html, re.DOTALL)
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts
    )
    policy = f"{_LOCKED}; style-src 'unsafe-inline'; script-src {hashes or repr('none')}; {also}"
    headers = {"content-security-policy": policy, "referrer-policy": "no-referrer"}
    return Response(html, headers=headers, media_type="text/html")
