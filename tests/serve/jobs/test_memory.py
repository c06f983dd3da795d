"""A large file in, its answers out: the server's memory doesn't grow with it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.serve.jobs.made import ended
from tests.serve.parts import ToyTable, make_product
from tests.serve.test_run import started

from trunkline.serve.jobs.rows import MEDIA

CSV, NDJSON, _ = MEDIA
NOTE = "退款 note " * 60  # 840 bytes
FEW, MANY = 6_000, 50_000


def rows(count: int, media: str, folder: Path) -> Path:
    path = folder / f"{count}"
    with path.open("w", encoding="utf-8") as file:
        file.write("amount,note\n" if media == CSV else "")
        for n in range(count):
            file.write(f"{n % 3 - 1},{NOTE}\n" if media == CSV else f'{{"amount": {n % 3 - 1}, "note": "{NOTE}"}}\n')
    return path


class Watched:
    """The most memory that a process has had in RAM, bytes."""

    def __init__(self, pid: int) -> None:
        self.most = 0
        self._file, self._ended = Path(f"/proc/{pid}/statm"), threading.Event()

    def look(self) -> int:
        return int(self._file.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @contextmanager
    def during(self) -> Iterator[None]:
        def watch() -> None:
            while not self._ended.wait(0.01):
                self.most = max(self.most, self.look())

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()


@pytest.mark.parametrize("media", [CSV, NDJSON])
def test_fifty_thousand_rows_in_constant_memory(tmp_path: Path, media: str) -> None:
    """42 MB in and 8 MB out in every form. Parquet coming in: tests/data/test_parquet.py."""
    products = tmp_path / "products"
    make_product(products, "risk", inputs={"amount": "number"}, head=ToyTable("amount", [1.0]), labels=("high", "low"))
    command = [sys.executable, "-m", "tests.serve.jobs.slow", str(products)]
    with started(command, tmp_path / "log") as server, httpx.Client(base_url=server.url, timeout=60) as client:

        def through(count: int) -> None:
            path = rows(count, media, tmp_path)
            with path.open("rb") as file:
                reply = client.post("/v1/products/risk/jobs", content=file, headers={"content-type": media})
            job = ended(client, reply.json()["id"], 120)
            assert (job["state"], job["rows_done"]) == ("done", count)
            for format_ in ("ndjson", "csv", "parquet"):
                with client.stream("GET", f"/v1/jobs/{job['id']}/answers?format={format_}") as answers:
                    assert answers.status_code == 200
                    assert sum(map(len, answers.iter_raw())) > count

        through(FEW)  # everything is loaded after it
        watched = Watched(server.process.pid)
        before = watched.look()
        with watched.during():
            through(MANY)
        assert watched.most - before < 20_000_000
