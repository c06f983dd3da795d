"""The route that says why: one product's answers with their reasons."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trunkline.errors import RequestError
from trunkline.explain.subject import switched_off
from trunkline.explain.why import Asked
from trunkline.serve import wire
from trunkline.serve.app import Server, top_scores
from trunkline.serve.leaving import while_here
from trunkline.serve.log import request_id
from trunkline.serve.problems import json_bytes
from trunkline.serve.rollout import identity
from trunkline.serve.why import ROWS


def why_route(server: Server) -> Route:
    async def why(request: Request) -> Response:
        name = server.served(request).name
        body = await server.body(request)
        return await server.once(request, body, lambda: while_here(request, _answered(server, name, body, request)))

    return Route("/v1/products/{name}/why", why, methods=["POST"])


async def _answered(server: Server, name: str, body: bytes, request: Request) -> Response:
    """By the version that answers this user's calls. What was computed counts as rows answered."""
    top = top_scores(request)
    parsed = wire.why_request(body, ROWS)
    assert isinstance(parsed.rows, list)
    if parsed.request_id is not None:
        request.state.request_id = request_id(parsed.request_id)
    route = server.route(name)
    if route.silent:
        raise switched_off(name)
    served = route.choose(parsed.user, request.state.request_id)
    request.state.version, request.state.engine = served.bundle.version, served.bundle.manifest.engine
    try:
        budget = None if parsed.budget is None else wire.whole("budget", parsed.budget)
        asked = Asked(parsed.label, parsed.method, budget, wire.whole("top", parsed.top))
        compute = partial(server.compute.why, served, parsed.rows, asked, top)
        told, spent = await server.run(compute, request, served.name, served.bundle.spec.serve.reuse)
    except RequestError as error:
        if type(error) is not RequestError:
            raise
        raise wire.WrongRequestError(error.what, where=error.where, found=error.found, wanted=error.wanted, hint=error.hint) from None
    request.state.rows = told.rows
    timing = f"queue;dur={spent.queue * 1000:.2f}, compute;dur={spent.compute * 1000:.2f}"
    return Response(
        json_bytes({**identity(served), "answers": told.answers}), headers={"server-timing": timing}, media_type="application/json"
    )
