"""Clients that are slow, leave, send too much, or just hold a connection."""

from __future__ import annotations

import json
import resource
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from benchmarks.faults.ground import Found, Ground, Running, served, until

from trunkline.serve.connections import PATIENCE

SLOW, GONE, IDLE = 50, 400, 5_000
GIGABYTE = 10**9
PIECE = bytes(1_000_000)
ESTABLISHED = b"\x01"  # of TCP_INFO
PATHS = ("/v1/products/support/predict", "/v1/matrix/predict", "/v1/embeddings", "/v2/models/support/infer")


def slow(ground: Ground) -> Found:
    """A byte a second, in the head and in the body; and answers that nobody reads."""
    with served(ground.products("slow")) as server, ExitStack() as stack:
        alone = took(server)
        head = b"POST /v1/products/support/predict HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        heads = [stack.enter_context(opened(server, head)) for _ in range(SLOW)]
        bodies = [stack.enter_context(opened(server, head + b"content-length: 5000\r\n\r\n")) for _ in range(SLOW)]
        deaf = [stack.enter_context(opened(server, unread_call(), window=4_096)) for _ in range(SLOW)]
        base, cut, beside = server.memory(), Counter[str](), []
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE.unread + 40 and sum(cut.values()) < 3 * SLOW:
            for name, socks in (("heads", heads), ("bodies", bodies)):
                cut[name] += trickle(socks)
            cut["unread"] += dropped(deaf)
            beside.append(took(server, 1))
            time.sleep(1)
        most = server.memory("VmHWM") - base
    found = Found(
        f"{SLOW} clients that send a head, {SLOW} that send a body, a byte a second, and {SLOW} that read none of 8,000 answers",
        f"cut off: {cut['heads']}, {cut['bodies']} and {cut['unread']}; meanwhile another's call took "
        f"{statistics.median(beside):.0f} ms ({alone:.0f} before); at most {most:.0f} MB more",
    )
    found.wrong += [f"{SLOW - cut[name]} {name} held on" for name in ("heads", "bodies", "unread") if cut[name] < SLOW]
    return found


def leaving(ground: Ground) -> Found:
    """They send a row and close, before, within and after the body."""
    with served(ground.products("leaving")) as server:
        took(server)
        before = server.metric("trunkline_executed_rows_total")
        for number in range(GONE):
            body = json.dumps({"row": {"text": f"{ground.texts[number]} and I am gone"}}).encode()
            call = request("/v1/products/support/predict", body)
            with opened(server, (call, call[:-3], call[:60])[number % 3]):
                time.sleep(0.005 * (number % 4))
        calm = until(lambda: server.metric("trunkline_waiting_rows") == 0, 60, "rows still wait")
        computed = server.metric("trunkline_executed_rows_total") - before
        good, memory = server.ask(), server.memory()
        lines = Counter(line["status"] for line in server.said("call") if line["path"].endswith("predict"))
    whole = (GONE + 2) // 3
    found = Found(
        f"{GONE} clients that close: after the call, within its body, within its head",
        f"{computed:.0f} of {whole} whole calls were computed before their caller was missed; {lines[499]} calls given up; "
        f"no row waits {calm:.1f} s later; {memory:.0f} MB",
    )
    if good.status_code != 200 or lines[500]:
        found.wrong.append(f"afterwards {good.status_code}, {lines[500]} calls broke")
    return found


def too_much(ground: Ground) -> Found:
    """A body of 1 GB, said beforehand and in pieces, and a head of 1 GB."""
    seen: list[str] = []
    wrong: list[str] = []
    with served(ground.products("too-much")) as server:
        took(server)
        for path in PATHS:
            for how in ("declared", "chunked"):
                server.forget_peak()
                base = server.memory("VmHWM")
                status, sent = flood(server, path, how)
                more = server.memory("VmHWM") - base
                seen.append(f"{more:.0f}")
                if status not in (413, 0) or more > 40:
                    wrong.append(f"{path} {how}: {status} after {sent / 1e6:.0f} MB, {more:.0f} MB more")
        server.forget_peak()
        base = server.memory("VmHWM")
        status, sent = flood(server, "/healthz", "head")
        more = server.memory("VmHWM") - base
        if status not in (431, 0) or more > 40:
            wrong.append(f"head: {status} after {sent / 1e6:.0f} MB, {more:.0f} MB more")
        good = server.ask()
    if good.status_code != 200:
        wrong.append(f"afterwards {good.status_code}")
    return Found(
        f"1 GB to {len(PATHS)} routes, with a length and in chunks; a head of 1 GB",
        f"413 before or while it came, 431 for the head; at most {max(map(int, seen))} MB more at any time, {more:.0f} for the head",
        wrong,
    )


def idle(ground: Ground) -> Found:
    """5,000 connections that do nothing: after a call, before one, within a head."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, IDLE + 1_000)), hard))
    with served(ground.products("idle")) as server, ExitStack() as stack:
        alone, base = took(server), server.memory()
        socks = [stack.enter_context(opened(server, b"")) for _ in range(IDLE)]
        empty, beside_empty = server.memory() - base, took(server)
        for sock in socks:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        answered = sum(sock.recv(4_096).startswith(b"HTTP/1.1 200") for sock in socks)
        used, beside_used = server.memory() - base, took(server)
        for sock in socks:
            sock.sendall(b"GET /healthz HTTP/1.1\r\n")
        began = time.monotonic()
        beside_heads = took(server)
        until(lambda: server.files() < IDLE // 10, 120, "half heads hold on")
        seconds = time.monotonic() - began
        ended = server.stop()
    found = Found(
        f"{IDLE} connections that do nothing: before a call, after one, within the head of the next",
        f"{answered} had their call answered; {empty:.0f} MB more before a call, {used:.0f} after; another's call took "
        f"{beside_empty:.0f}, {beside_used:.0f} and {beside_heads:.0f} ms ({alone:.0f} before); half heads were cut after {seconds:.0f} s",
    )
    if answered != IDLE or ended > 15:
        found.wrong.append(f"{answered} answered; the server ended after {ended:.0f} s")
    return found


# ---- by hand over sockets ----


@contextmanager
def opened(server: Running, first: bytes, window: int = 0) -> Iterator[socket.socket]:
    sock = socket.socket()
    if window:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    sock.settimeout(60)
    try:
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(first)
        yield sock
    finally:
        sock.close()


def request(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def unread_call() -> bytes:
    """Eight calls of a thousand equal rows, computed once: over a megabyte each to answer, more than sockets hold."""
    body = json.dumps({"rows": [{"text": "where is my card"}] * 1_000}).encode()
    return request("/v1/products/support/predict?scores=all", body) * 8


def trickle(socks: list[socket.socket]) -> int:
    """A byte to each; how many the server has closed, which leave the list."""
    lost = 0
    for sock in list(socks):
        try:
            sock.sendall(b"x")
            sock.setblocking(False)
            with suppress(BlockingIOError):
                if b" 408 " in (said := sock.recv(4_096)) or not said:
                    raise ConnectionError
            sock.setblocking(True)
        except ConnectionError:
            socks.remove(sock)
            lost += 1
    return lost


def dropped(socks: list[socket.socket]) -> int:
    """How many the server has dropped, which leave the list; asked of the kernel, since reading would help them."""
    lost = [sock for sock in socks if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != ESTABLISHED]
    for sock in lost:
        socks.remove(sock)
    return len(lost)


def flood(server: Running, path: str, how: str) -> tuple[int, int]:
    """(status, bytes that were taken). Sends all it can; the answer is read aside. 0: reset before it could be read."""
    heads = {
        "declared": f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {GIGABYTE}\r\n\r\n",
        "chunked": f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n",
        "head": f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ",
    }
    piece = b"%x\r\n%s\r\n" % (len(PIECE), PIECE) if how == "chunked" else PIECE.replace(b"\0", b"a")
    said: list[bytes] = []

    def listen(sock: socket.socket) -> None:
        with suppress(OSError):
            said.append(sock.recv(4_096))

    sent = 0
    with opened(server, heads[how].encode()) as sock:
        aside = threading.Thread(target=listen, args=(sock,))
        aside.start()
        with suppress(OSError):
            while sent < GIGABYTE:
                sock.sendall(piece)
                sent += len(PIECE)
        aside.join(20)
    answer = said[0] if said else b""
    return (int(answer.split()[1]) if answer else 0), sent


def took(server: Running, times: int = 15) -> float:
    """Median milliseconds of a call on a new connection, each with another text."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        assert server.ask(f"my card has not arrived {began}").status_code == 200
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1_000


