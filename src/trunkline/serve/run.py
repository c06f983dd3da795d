"""The server process: port first, then products, then answers until told to stop."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import TYPE_CHECKING

from trunkline.engines.threads import limit_blas
from trunkline.errors import TrunklineError
from trunkline.serve.caller import is_local
from trunkline.serve.traces import send_to
from trunkline.serve.traces import start as start_traces
from trunkline.serve.workers import BACKLOG, GRACE_SECONDS, Parent, supervise, terminal_closed
from trunkline.store.place import REGISTRY, VARIABLE, open_at, registry_at, store_exists

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from trunkline.serve.catalog import Catalog
    from trunkline.serve.on_ray.cluster import RayCluster
    from trunkline.serve.watch import Watcher
    from trunkline.store.database import Store


Say = Callable[["Catalog", str], None]  # (what is served, where)


def serve(
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    certificate: Path | None = None,
    key: Path | None = None,
    store: str | None = None,
    registry: str | None = None,
    as_json: bool = False,
    fixed: Mapping[str, int] | None = None,
    traces: str | None = None,
    cluster: RayCluster | None = None,
) -> None:
    """Answer for every product at or below `folder` until SIGINT or SIGTERM; calls under way are ended.

    What is served is said on stderr, line by line, or as one JSON object on stdout. SIGHUP reads the folder anew
    while the calls go on. Port 0 takes a free one. `certificate` and `key` are PEM files for TLS; `store` is the
    address of the store of keys, else $TRUNKLINE_STORE's or the folder's own; `registry`, else $TRUNKLINE_REGISTRY,
    that of the store which says what serves, else each product's folder does; `fixed` are settings of engines by the
    variable that holds them (`engines.settings`); `traces` is a collector's address, else OTEL_* variables name it.
    `cluster` computes what stands on trunks. Raises TrunklineError where the port is taken, the pair is wrong, no
    product is there, or others could call without a key.
    """
    limit_blas()
    check_tls(certificate, key)
    if traces is not None:
        send_to(traces)
    for variable, address in ((VARIABLE, store), (REGISTRY, registry)):
        if address is not None:
            os.environ[variable] = address  # workers find it there; an argument would show it to every user
    os.environ.update({name: str(number) for name, number in (fixed or {}).items()})
    check_binding(host, lambda: _has_keys(folder))
    listening = listen(host, port)
    if workers > 1:
        if cluster is not None:
            raise TrunklineError("a server of a cluster is one process", hint="--replicas says how many compute")
        if sys.platform == "win32":
            raise TrunklineError("several workers can't share a port on Windows", hint="trunkline serve --workers 1")
        port = listening.getsockname()[1]
        listening.close()  # nobody else has the port; each worker gets a socket of its own
        words = [*(str(file or "") for file in (folder, certificate, key)), "json" if as_json else ""]
        supervise([sys.executable, "-P", "-m", "trunkline.serve.run", *words], host, port, workers)
        return
    try:
        _serve(folder, listening, certificate, key, say=_say_json if as_json else _say, cluster=cluster)
    finally:
        listening.close()


def work(
    folder: Path, certificate: Path | None, key: Path | None, listening: int, control: int, role: str, as_json: bool = False
) -> None:
    """A worker of `supervise`; `listening` and `control` are file descriptors. The first says what is served."""
    limit_blas()
    parent = Parent(socket.socket(fileno=control))
    with socket.socket(fileno=listening) as sock:
        try:
            say = _say_json if as_json else _say
            _serve(folder, sock, certificate, key, parent, say if role == "first" else None)
        except TrunklineError as error:
            parent.failed(error)
            sys.exit(error.exit_code)


def check_binding(host: str, has_keys: Callable[[], bool]) -> None:
    """Raises TrunklineError where a server without keys would answer other machines."""
    if is_local(host) or has_keys():
        return
    raise TrunklineError(
        "without keys the server answers this machine only",
        where=host or "all addresses",
        wanted="a key, or --host 127.0.0.1",
        hint="trunkline keys add NAME",
    )


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Calls that come before the products are loaded wait in it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise TrunklineError(
            f"can't listen on port {port}",
            where=host,
            found=error.strerror or str(error),
            hint=f"trunkline serve --port {port + 1 if 0 < port < 65535 else 0}",
        ) from None
    return listening


def check_tls(certificate: Path | None, key: Path | None) -> None:
    """Raises TrunklineError unless both files are given and belong together, or neither is given."""
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        raise TrunklineError(
            "TLS wants a certificate and its key",
            found="only the certificate" if certificate else "only the key",
            hint="trunkline serve --certificate FILE --key FILE",
        )
    import ssl

    try:  # an empty password, since OpenSSL would ask for one at the terminal
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise TrunklineError(
            "the certificate and its key can't be used",
            where=f"{certificate}, {key}",
            found=error.strerror or str(error),
            wanted="a certificate (chain) and its private key, as PEM files, the key without a password",
        ) from None


def reload(watcher: Watcher) -> bool:
    """Look at the folder now, and at every file of what serves. False, with the reason in the log, if it can't be read: what serves serves on."""
    from trunkline.serve.log import log

    try:
        watcher.look(find=True)
        watcher.live.verify()
    except (TrunklineError, OSError) as error:
        why = error.as_dict() if isinstance(error, TrunklineError) else {"what": str(error)}
        log.error("reload failed; what was served is served on", extra={"fields": why})
        return False
    log.info("reloaded", extra={"fields": {"pid": os.getpid()}})
    return True


def _store(folder: Path) -> Store | None:
    return open_at(folder) if store_exists(folder) else None


def _has_keys(folder: Path) -> bool:
    store = _store(folder)
    if store is None:
        return False
    from trunkline.store.callers import has_keys

    try:
        return has_keys(store)
    finally:
        store.close()


def _import_web() -> None:
    import httptools  # noqa: F401
    import prometheus_client  # noqa: F401
    import starlette.applications  # noqa: F401
    import uvicorn  # noqa: F401


def _serve(
    folder: Path,
    listening: socket.socket,
    certificate: Path | None,
    key: Path | None,
    parent: Parent | None = None,
    say: Say | None = None,
    cluster: RayCluster | None = None,
) -> None:
    from trunkline.serve.live import LiveCatalog
    from trunkline.serve.log import log_to_stderr
    from trunkline.serve.watch import Watcher

    log_to_stderr()
    traces = start_traces()
    with ThreadPoolExecutor(2) as aside:  # while the catalog reads from disk
        web, opened = aside.submit(_import_web), aside.submit(_store, folder)
        registry = registry_at(os.environ.get(REGISTRY), keep_open=True)
        live = LiveCatalog(folder, registry=registry, here=lambda trunk: cluster is None)
        web.result()
        store = opened.result()
    from trunkline.serve.app import build

    with closing(traces) if traces else nullcontext(), cluster or nullcontext(), Watcher(live) as watcher:
        app = build(live, store=store, traces=traces, away=cluster.computing(live) if cluster else None)
        gc.freeze()  # what is loaded now stays; the collector need not look at it again
        signal.signal(signal.SIGTERM, _leave)  # uvicorn gives the signal back when all calls are ended
        if parent is None:
            _on_hangup(watcher)  # both before the server is said to be up: they end a process that doesn't know them
        if say is not None:
            say(live.snapshot(), _url(listening, "http" if certificate is None else "https"))
        if parent is not None:
            listening.listen(BACKLOG)  # from here on the kernel deals to it
            parent.ready(lambda: reload(watcher))
        _answer(app, listening, certificate, key)


def _answer(app: ASGIApp, listening: socket.socket, certificate: Path | None, key: Path | None) -> None:
    import uvicorn

    from trunkline.serve.connections import PATIENCE, Connection

    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",  # else uvicorn imports what it finds for them
        timeout_keep_alive=int(PATIENCE.idle),
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    with suppress(KeyboardInterrupt):  # Ctrl-C is how a server at a terminal is ended
        uvicorn.Server(config).run(sockets=[listening])


def _on_hangup(watcher: Watcher) -> None:
    def hang_up(number: int, frame: FrameType | None) -> None:
        if terminal_closed():
            signal.raise_signal(signal.SIGTERM)
        else:
            Thread(target=reload, args=(watcher,), name="reload", daemon=True).start()

    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, hang_up)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _url(listening: socket.socket, scheme: str) -> str:
    host, port = listening.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _say_json(catalog: Catalog, url: str) -> None:
    import orjson

    products = {name: served.bundle.version for name, served in sorted(catalog.products.items())}
    refused = {name: error.as_dict() for name, error in sorted(catalog.refused.items())}
    print(orjson.dumps({"url": url, "products": products, "refused": refused}).decode(), flush=True)


def _say(catalog: Catalog, url: str) -> None:
    for name, served in sorted(catalog.products.items()):
        print(f"✓ {name}  {served.bundle.spec.task}, {served.bundle.version}", file=sys.stderr)
    for name, error in sorted(catalog.refused.items()):
        print(f"× {name}  {error.what}; try: {error.hint}", file=sys.stderr)
    print(f"{url}/docs", file=sys.stderr, flush=True)


if __name__ == "__main__":
    _folder, _certificate, _key, _json, _listening, _control, _role = sys.argv[1:]
    work(
        Path(_folder),
        Path(_certificate) if _certificate else None,
        Path(_key) if _key else None,
        int(_listening),
        int(_control),
        _role,
        as_json=bool(_json),
    )
