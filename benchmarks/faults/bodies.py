"""Bodies and requests that are wrong in every way that was thought of; schemathesis thinks of more in the tests."""

from __future__ import annotations

import json
import socket
from collections import Counter
from contextlib import suppress

import httpx
from benchmarks.faults.ground import Found, Ground, Running, served

DEEP = 2_000_000
ROW = b'{"text": "my card has not arrived"}'
POSTS = (
    "/v1/products/support/predict", "/v1/products/nobody/predict", "/v1/matrix/predict", "/v1/embeddings",
    "/v2/models/support/infer", "/v2/repository/index", "/v2/repository/models/support/load",
)  # fmt: skip
MEDIA = ("application/json", "application/x-ndjson", "text/csv", "multipart/form-data; boundary=x", "?")
CELLS = (
    b"null", b"true", b"-0", b"1e999", b"-1e400", b"NaN", b"Infinity", b"12345678901234567890" * 20, b'""', b'" "', b'"\\u0000"',
    b'"\\ud800"', b'"\xff\xfe"', b"[]", b"{}", b"[[]]", b'"' + b"a" * 2_000_000 + b'"', b'"\\u202e\\u0301' + b'\\ud83d\\ude00"' ,
)  # fmt: skip
BODIES = (
    b"", b" ", b"\x00", b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b"null", b"1", b'"a"', b"[]", b"{}", b"{", b'{"rows"', b'{"rows": [}',
    b'{"rows": [' + ROW, b'{"rows": [' + ROW + b",]}", b'{"rows": [' + ROW + b"]} x", b"{'rows': []}", b'{"rows": {}}', b'{"rows": null}',
    b'{"row": []}', b'{"rows": [null, 1, "a", [], {}]}', b'{"rows": [], "row": {}}', b'{"rows": [' + b",".join([b"{}"] * 1_001) + b"]}",
    b"[" * DEEP, b'{"a":' * (DEEP // 5), b'{"rows": ' + b"[" * DEEP + b"]" * DEEP + b"}", b'{"rows": [{"text": ' + b"[" * 90_000 + b"]" * 90_000 + b"}]}",
    b'{"rows": [' + ROW + b'], "user": 1}', b'{"row": ' + ROW + b', "request_id": "\\u0000\\n"}', b'{"row": ' + ROW + b', "more": 1}',
    b'{"model": 1, "input": [1, 2]}', b'{"model": "support", "input": [[1, 2]]}', b'{"model": "support", "input": []}',
    b'{"model": "support", "input": "a", "dimensions": 99999999999999999999}', b'{"inputs": [{"name": "text", "shape": [99999999999], "datatype": "BYTES", "data": []}]}',
    b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 4}}]}\xff\xff\xff\xff',
)  # fmt: skip
HEADERS = (
    ("x-timeout-ms", "0"), ("x-timeout-ms", "9" * 5_000), ("idempotency-key", "a b"), ("idempotency-key", "k" * 300),
    ("inference-header-content-length", "-1"), ("inference-header-content-length", "9" * 30), ("x-request-id", "\x80" * 200),
    ("content-encoding", "gzip"), ("authorization", "Bearer"), ("accept", "*/*;q=nine"), ("host", "evil.example"), ("origin", "null"),
)  # fmt: skip
RAW = (
    b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nidempotency-key: \x01\r\n\r\n", b"GET /healthz HTTP/1.1\r\nhost: \x00\r\n\r\n",
    b"\x00\x01\x02\x03", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /%ZZ HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", b"GET /\xff\xfe HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: -1\r\n\r\n", b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 99999999999999999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde",
    b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/matrix/predict HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    b"CONNECT example.org:443 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", b"GET http://example.org/ HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
)  # fmt: skip


def malformed(ground: Ground) -> Found:
    found: Counter[int] = Counter()
    wrong: list[str] = []
    with served(ground.products("malformed")) as server:
        server.ask()
        base = server.memory()
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for path in POSTS:
                for body in (*BODIES, *(b'{"rows": [%b, {"text": %b}]}' % (ROW, cell) for cell in CELLS)):
                    for media in MEDIA:
                        note(found, wrong, client, path, body, ("content-type", media))
                for name, value in HEADERS:
                    note(found, wrong, client, path, b'{"row": %b}' % ROW, (name, value))
        raw = Counter([said(server, call) for call in RAW])
        good, more, broke = server.ask(), server.memory() - base, len(server.said("breakage"))
    if good.status_code != 200 or broke or raw[500]:
        wrong.append(f"afterwards {good.status_code}, {broke} breakages in the log, raw requests {dict(raw)}")
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(found.items()))
    return Found(
        f"{len(BODIES) + len(CELLS)} wrong bodies in {len(MEDIA)} media types and {len(HEADERS)} wrong headers to each of {len(POSTS)} routes, "
        f"{len(RAW)} requests that are no HTTP",
        f"{statuses}; no 5xx and no breakage in the log; {more:.0f} MB more",
        wrong,
    )


def note(found: Counter[int], wrong: list[str], client: httpx.Client, path: str, body: bytes, header: tuple[str, str]) -> None:
    name, value = header
    try:
        reply = client.post(path, content=body, headers=[(name.encode(), value.encode("latin-1"))])
    except httpx.TransportError as error:
        wrong.append(f"{path} {body[:40]!r}: {error!r}")
        return
    found[reply.status_code] += 1
    if reply.status_code >= 500:
        wrong.append(f"{path} {body[:40]!r} {header}: {reply.status_code} {reply.text[:100]}")
    if reply.headers["content-type"] != "application/x-ndjson" and reply.content:
        json.loads(reply.content)


def said(server: Running, call: bytes) -> int:
    """The status; 0 where the connection was closed without one."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=40) as sock, suppress(OSError):
        sock.sendall(call)
        sock.shutdown(socket.SHUT_WR)
        answer = sock.recv(4_096)
        return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else 0
    return 0
