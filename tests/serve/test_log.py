from __future__ import annotations

import io
import logging
import threading
import time
from typing import Any

from trunkline.serve.log import Gathered


class Stream(io.BytesIO):
    writes = 0

    def write(self, data: Any) -> int:
        """At most 40 bytes at a time, as a pipe may."""
        self.writes += 1
        return super().write(bytes(data)[:40])

    def text(self) -> str:
        return self.getvalue().decode()


class Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return str(getattr(record, "text", record.msg))


def call(text: str) -> logging.LogRecord:
    record = logging.LogRecord("trunkline", logging.INFO, __file__, 0, "call", (), None)
    record.text = text
    return record


def gathered(stream: Stream) -> Gathered:
    handler = Gathered(stream)
    handler.setFormatter(Plain())
    return handler


def test_lines_are_written_together_and_soon() -> None:
    stream = Stream()
    handler = gathered(stream)
    for at in range(50):
        handler.handle(call(f"line {at}"))
    until = time.monotonic() + 20
    while "line 49\n" not in stream.text() and time.monotonic() < until:
        time.sleep(0.01)
    assert stream.text().splitlines() == [f"line {at}" for at in range(50)]
    assert stream.writes < 50


def test_what_is_no_call_is_written_at_once_behind_what_came_before() -> None:
    stream = Stream()
    handler = gathered(stream)
    handler.handle(call("first"))
    handler.handle(logging.LogRecord("trunkline", logging.INFO, __file__, 0, "second", (), None))
    assert stream.text() == "first\nsecond\n"


def test_no_line_is_lost_between_threads() -> None:
    stream = Stream()
    handler = gathered(stream)

    def work(name: int) -> None:
        for at in range(200):
            handler.handle(call(f"{name} {at}"))
            if at % 50 == 0:
                handler.flush()

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handler.flush()
    lines = stream.text().splitlines()
    assert sorted(lines) == sorted(f"{name} {at}" for name in range(4) for at in range(200))
