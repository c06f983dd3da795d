"""A server on a loopback socket in a thread, for clients that are real."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp

from trunkline.errors import TrunklineError
from trunkline.serve.connections import Connection
from trunkline.serve.log import Envelope
from trunkline.serve.problems import http_problem, problem
from trunkline.serve.run import listen


def app_of(routes: Sequence[Route]) -> ASGIApp:
    """Some routes with the server's own error forms."""
    handlers = {TrunklineError: problem, HTTPException: http_problem, Exception: problem}
    return Envelope(Starlette(routes=list(routes), exception_handlers=handlers))


@contextmanager
def live(app: ASGIApp, http: type[Connection] = Connection, lifespan: Literal["on", "off"] = "off") -> Iterator[str]:
    """host:port of the app while the block lasts."""
    with listen("127.0.0.1", 0) as listening:
        config = uvicorn.Config(
            app, http=http, log_config=None, access_log=False, timeout_graceful_shutdown=2, lifespan=lifespan
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            until = time.monotonic() + 10
            while not server.started and time.monotonic() < until:
                time.sleep(0.01)
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
