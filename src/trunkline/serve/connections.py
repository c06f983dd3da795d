"""One connection each: uvicorn's, cut off when its client holds it without getting on. A server that waits for
whoever is slow can be held by anybody with a few thousand sockets (slowloris).

A connection looks at itself every few seconds, so that a call pays next to nothing for it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from trunkline.serve.log import log

_RESERVE = 256  # files for everything else: bundles, the store, rows that wait on disk


@dataclass(frozen=True)
class Patience:
    """Seconds unless said otherwise. After the first `body` seconds a body comes with at least `bytes_per_s`."""

    idle: float = 75.0  # between calls, and before the first: longer than a load balancer's 60
    head: float = 20.0  # from its first byte to its last
    head_bytes: int = 65_536
    body: float = 30.0  # without a byte
    bytes_per_s: int = 500
    stream: float = 600.0  # without a byte, where rows are answered while they come
    linger: float = 10.0  # for a body that was refused already
    unread: float = 60.0  # in which at least `unread_bytes` of a waiting answer are taken, or what is left of it
    unread_bytes: int = 30_000
    look: float = 5.0
    most: int = 10_000  # connections; 9 kB each when idle


PATIENCE = Patience()


@cache
def room() -> int:
    """How many connections this process may have: by its limit of open files, which is raised as far as it may."""
    if sys.platform == "win32":
        return PATIENCE.most
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = PATIENCE.most + _RESERVE
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(_RESERVE, min(PATIENCE.most, soft - _RESERVE))


class Connection(HttpToolsProtocol):
    """`http` of a `uvicorn.Config`."""

    patience = PATIENCE
    _idle: ClassVar[dict[Connection, None]] = {}  # those without a call, the longest so first

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._seen = self._began = self._moved = self.loop.time()  # last byte in; first of the message; last out
        self._in_head = self._in_body = False
        self._taken = self._unread = 0  # bytes of this message; of answers, when last looked at
        self._looks = self.loop.call_later(self.patience.look, self._look)
        if len(self.connections) > room():
            self._make_room()
        self._idle[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._looks.cancel()
        self._idle.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._seen = self.loop.time()
        self._taken += len(data)
        super().data_received(data)
        if self._in_head and self._taken > self.patience.head_bytes:
            self._refuse(431, "the head of the request is too large", f"at most {self.patience.head_bytes:,} bytes")

    def on_message_begin(self) -> None:
        self._began, self._taken, self._in_head, self._in_body = self._seen, 0, True, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._idle.pop(self, None)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._seen = self.loop.time()
        if self._answered:  # no further call stands in line
            self._idle[self] = None
        super().on_response_complete()

    def resume_writing(self) -> None:
        self._moved = self.loop.time()
        super().resume_writing()

    def _make_room(self) -> None:
        """In place of the one that was idle longest; where none is, there is no room."""
        if oldest := next(iter(self._idle), None):
            del self._idle[oldest]
            oldest.transport.close()
        else:
            self._refuse(503, "too many connections", f"at most {room():,}")

    def _look(self) -> None:
        self._looks = self.loop.call_later(self.patience.look, self._look)  # until it is lost
        now = self.loop.time()
        if self._stuck(now):
            self._say("its answer isn't read")
            linger = struct.pack("ii", 1, 0)  # by a reset: the system drops what it holds for this client too
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()
        elif self.transport.is_closing():
            return
        elif self._answered:
            self._between(now)
        elif self._in_body and not self._in_head and not self.flow.read_paused and self._slow(now):
            self._refuse(408, "the body didn't come", f"{self.patience.bytes_per_s} bytes a second")

    @property
    def _answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _stuck(self, now: float) -> bool:
        """Does its client leave the answer unread? One that still sends its rows may read later."""
        unread = self.transport.get_write_buffer_size()
        if not unread or unread > self._unread or self._unread - unread >= self.patience.unread_bytes:
            self._unread, self._moved = unread, now
        sent = self._seen if self._in_body and not self._in_head else 0.0
        return now - max(self._moved, sent) > self.patience.unread

    def _between(self, now: float) -> None:
        """No call is under way: the next one's head may be, or the rest of a body that was refused."""
        if self._in_head:
            if now - self._began > self.patience.head:
                self._refuse(408, "the head of the request didn't come", f"all of it within {self.patience.head:g} s")
        elif self._in_body:
            if now - self._began > self.patience.linger:
                self.transport.close()
        elif now - self._seen > self.patience.idle:
            self.transport.close()

    def _slow(self, now: float) -> bool:
        patience, silent = self.patience, now - self._seen
        if self.cycle.scope["state"].get("stream"):
            return silent > patience.stream
        return silent > patience.body or self._taken < patience.bytes_per_s * (now - self._began - patience.body)

    def _refuse(self, status: int, what: str, wanted: str) -> None:
        """Says why, unless another answer is under way, and closes."""
        self._say(what)
        if self._answered or (not self._in_head and not self.cycle.response_started):
            body = {"type": "about:blank", "title": what, "status": status, "detail": f"wanted {wanted}"}
            self.transport.write(_closing(status, orjson.dumps(body)))
        self._in_head = False
        self.transport.close()

    def _say(self, why: str) -> None:
        log.info("a connection was cut", extra={"fields": {"why": why, "connections": len(self.connections)}})


def _closing(status: int, body: bytes) -> bytes:
    head = f"content-type: application/problem+json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[status] + head.encode() + body
