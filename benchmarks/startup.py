"""From `trunkline serve` to the first answer, and the memory of that process.

    python -m benchmarks.startup

Trains the shipped support product in a temporary folder, then starts the server anew each time.
Targets: first answer within 1.2 s, memory at most 350 MB.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.record import record, spread_of

RUNS = 7
COMMAND = str(Path(sys.executable).parent / "trunkline")
TEXT = "My card still hasn't arrived."


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int) -> bytes | None:
    """The answer's bytes, or None while the server doesn't listen or isn't ready."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/products/support/predict",
        json.dumps({"rows": [{"text": TEXT}]}).encode(),
        {"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        if error.code != 503:
            raise
    except (urllib.error.URLError, ConnectionError):
        pass  # not listening yet: that is what is measured
    return None


def resident_mb(pid: int, key: str = "VmRSS") -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith(key))


def one_start(folder: Path) -> tuple[float, float, float, float]:
    """Seconds to the first answer, seconds of the second one, MB resident after it, MB at the peak."""
    port = free_port()
    start = time.perf_counter()
    server = subprocess.Popen(
        [COMMAND, "serve", str(folder), "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while ask(port) is None:
            if server.poll() is not None or time.perf_counter() - start > 60:
                raise SystemExit("the server did not answer")
            time.sleep(0.005)
        first = time.perf_counter() - start
        again = time.perf_counter()
        ask(port)
        return first, time.perf_counter() - again, resident_mb(server.pid), resident_mb(server.pid, "VmHWM")
    finally:
        server.terminate()
        server.wait(30)


def prepare(folder: Path) -> None:
    for command in (["init", str(folder / "support"), "--template", "intent"], ["train", str(folder / "support")]):
        subprocess.run([COMMAND, *command], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        prepare(folder)
        first, second, memory, peak = zip(*(one_start(folder) for _ in range(RUNS)), strict=True)
    rows: list[dict[str, Any]] = [
        {"what": "start of the command to the first answer, ms", "value": spread_of(first), "target": "1200"},
        {"what": "second answer, new connection, ms", "value": spread_of(second, digits=1), "target": ""},
        {"what": "memory resident after it, MB", "value": spread_of(memory, 1.0), "target": "350"},
        {"what": "memory at the peak, MB", "value": spread_of(peak, 1.0), "target": ""},
    ]
    print(record("startup", "First answer and memory of the server", rows, spread=f"median (lowest-highest) of {RUNS} starts"))


if __name__ == "__main__":
    main()
