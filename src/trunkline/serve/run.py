"""The server process: port first, then products, then answers until told to stop."""

from __future__ import annotations

import gc
import signal
import socket
import sys
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING

from trunkline.engines.threads import limit_blas
from trunkline.errors import TrunklineError

if TYPE_CHECKING:
    from trunkline.serve.catalog import Catalog

GRACE_SECONDS = 10


def serve(folder: Path, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Answer for every product at or below `folder` until SIGINT or SIGTERM; calls under way are ended.

    Port 0 takes a free one. Raises TrunklineError where the port is taken or no product is there.
    """
    limit_blas()
    listening = listen(host, port)
    web = Thread(target=_import_web)  # while the catalog reads from disk
    web.start()
    try:
        _serve(folder, listening, web)
    finally:
        listening.close()


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Calls that come before the products are loaded wait in it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(1024)
    except OSError as error:
        listening.close()
        raise TrunklineError(
            f"can't listen on port {port}",
            where=host,
            found=error.strerror or str(error),
            hint=f"trunkline serve --port {port + 1 if 0 < port < 65535 else 0}",
        ) from None
    return listening


def _import_web() -> None:
    import httptools  # noqa: F401
    import starlette.applications  # noqa: F401
    import uvicorn  # noqa: F401


def _serve(folder: Path, listening: socket.socket, web: Thread) -> None:
    from trunkline.serve.catalog import open_catalog
    from trunkline.serve.log import log_to_stderr

    log_to_stderr()
    catalog = open_catalog(folder)
    web.join()
    import uvicorn

    from trunkline.serve.app import build

    app = build(catalog)
    gc.freeze()  # what is loaded now stays; the collector need not look at it again
    _say(catalog, listening)
    config = uvicorn.Config(
        app, access_log=False, log_config=None, server_header=False, timeout_graceful_shutdown=GRACE_SECONDS
    )
    signal.signal(signal.SIGTERM, _leave)  # uvicorn gives the signal back when all calls are ended
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        return  # Ctrl-C is how a server at a terminal is ended


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _say(catalog: Catalog, listening: socket.socket) -> None:
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    for name, served in sorted(catalog.products.items()):
        print(f"✓ {name}  {served.bundle.spec.task}, {served.bundle.version}", file=sys.stderr)
    for name, error in sorted(catalog.refused.items()):
        print(f"× {name}  {error.what}; try: {error.hint}", file=sys.stderr)
    print(f"http://{shown}:{port}/docs", file=sys.stderr, flush=True)
