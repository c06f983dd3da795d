"""What the two server benchmarks share: a trained job, a server process, and wrk against it."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("TRUNKLINE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
JOBS = Path(__file__).resolve().parent / "jobs"
COMMAND = str(Path(sys.executable).parent / "trunkline")
PACKAGES = ("uvicorn", "starlette", "numpy")
GATE_FAILED = 3

# Each thread of wrk sends the bodies in turn, so no two calls in a row are equal.
_LUA = """
local bodies, paths, at = {}, {}, 0
for line in io.lines("%s") do bodies[#bodies + 1] = line end
for path in string.gmatch("%s", "%%S+") do paths[#paths + 1] = path end
wrk.method, wrk.headers["Content-Type"] = "POST", "application/json"
request = function()
  at = at + 1
  return wrk.format(nil, paths[at %% #paths + 1], nil, bodies[at %% #bodies + 1])
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %%f %%f %%f %%d\\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What wrk saw: calls a second, milliseconds, calls that failed."""

    per_s: float
    p50_ms: float
    p99_ms: float
    errors: int


@dataclass(frozen=True)
class Server:
    """A server process under measurement."""

    pid: int
    url: str  # of the product's predict route
    first_answer_s: float

    def pss_mb(self) -> float:
        """Proportional set size, 10^6 bytes."""
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text(encoding="utf-8")
        found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024 / 1e6

    def load(
        self, bodies: Sequence[str], connections: int, seconds: int, products: Sequence[str] = ()
    ) -> Load:
        """`load` on this server; `products` are called in turn instead of this server's."""
        own = "/" + self.url.split("/", 3)[3]
        paths = [f"/v1/products/{name}/predict" for name in products] or [own]
        return load(self.url, paths, bodies, connections, seconds)


def load(url: str, paths: Sequence[str], bodies: Sequence[str], connections: int, seconds: int) -> Load:
    """Runs wrk, which must be installed: bodies and paths in turn, against the host of `url`."""
    with tempfile.TemporaryDirectory() as temp:
        lines, script = Path(temp) / "bodies", Path(temp) / "post.lua"
        lines.write_text("\n".join(bodies) + "\n", encoding="utf-8")
        script.write_text(_LUA % (lines, " ".join(paths)), encoding="utf-8")
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script), url]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"RESULT (\S+) (\S+) (\S+) (\d+)", out)
    assert found is not None, out
    return Load(float(found[1]), float(found[2]), float(found[3]), int(found[4]))


@contextmanager
def trained(job: str, data: str) -> Iterator[Path]:
    """A folder that holds the job's product with a live bundle."""
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp) / job
        folder.mkdir()
        shutil.copy(JOBS / job / "product.toml", folder)
        for part in ("train.csv", "test.csv"):
            shutil.copy(DATA / data / part, folder)
        done = subprocess.run([COMMAND, "train", str(folder)], stdout=subprocess.DEVNULL)
        assert done.returncode in (0, GATE_FAILED), done.returncode
        deploy = [COMMAND, "deploy", str(folder), *(["--override", "benchmark"] if done.returncode else [])]
        subprocess.run(deploy, check=True, stdout=subprocess.DEVNULL)
        yield Path(temp)


@contextmanager
def served(folder: Path, product: str, body: str) -> Iterator[Server]:
    """A fresh server; the clock runs from the start of its process to the first answer."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}/v1/products/{product}/predict"
    began = time.perf_counter()
    process = subprocess.Popen(
        [COMMAND, "serve", str(folder), "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not _answers(url, body):
            assert process.poll() is None, "the server ended"
            time.sleep(0.002)
        yield Server(process.pid, url, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait(30)


def bodies(data: str, label: str, rows_per_call: int, numbers: Sequence[str] = (), limit: int = 1000) -> list[str]:
    """Request bodies made of a set's test rows."""
    with (DATA / data / "test.csv").open(encoding="utf-8", newline="") as file:
        rows = [_cells(row, label, numbers) for row in csv.DictReader(file)][:limit]
    calls = [rows[at : at + rows_per_call] for at in range(0, len(rows) - rows_per_call + 1, rows_per_call)]
    return [json.dumps({"rows": call}) for call in calls]


def _cells(row: dict[str, str], label: str, numbers: Sequence[str]) -> dict[str, Any]:
    return {name: float(cell) if name in numbers else cell for name, cell in row.items() if name != label}


def _answers(url: str, body: str) -> bool:
    request = urllib.request.Request(url, body.encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return bool(json.load(reply)["answers"])
    except urllib.error.HTTPError:
        raise
    except (urllib.error.URLError, ConnectionError):
        return False  # not listening yet: that is what is measured


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
