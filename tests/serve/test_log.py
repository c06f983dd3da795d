from __future__ import annotations

import io
import logging
import threading
import time

from trunkline.serve.log import Gathered


class Stream(io.StringIO):
    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


def record(level: int, text: str) -> logging.LogRecord:
    return logging.LogRecord("trunkline", level, __file__, 0, text, (), None)


def test_lines_are_written_together_and_soon() -> None:
    stream = Stream()
    handler = Gathered(stream)
    for at in range(50):
        handler.handle(record(logging.INFO, f"line {at}"))
    until = time.monotonic() + 20
    while stream.writes == 0 and time.monotonic() < until:
        time.sleep(0.01)
    assert stream.getvalue().splitlines() == [f"line {at}" for at in range(50)]
    assert stream.writes < 50


def test_a_warning_is_written_at_once_behind_what_came_before() -> None:
    stream = Stream()
    handler = Gathered(stream)
    handler.handle(record(logging.INFO, "first"))
    handler.handle(record(logging.WARNING, "second"))
    assert stream.getvalue() == "first\nsecond\n"


def test_no_line_is_lost_between_threads() -> None:
    stream = Stream()
    handler = Gathered(stream)

    def work(name: int) -> None:
        for at in range(200):
            handler.handle(record(logging.INFO, f"{name} {at}"))
            if at % 50 == 0:
                handler.flush()

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handler.flush()
    lines = stream.getvalue().splitlines()
    assert sorted(lines) == sorted(f"{name} {at}" for name in range(4) for at in range(200))
