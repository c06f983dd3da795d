"""Start each tool's server anew, in turn, and measure: first answer, memory, calls a second."""

from __future__ import annotations

import csv
import json
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers.jobs import JOBS, WORK, Job
from benchmarks.peers.venvs import python
from benchmarks.record import spread_of
from benchmarks.serving import COMMAND, DATA, Load, Server

HERE = Path(__file__).resolve().parent
CONNECTIONS = 16
PATIENCE_S = 60


def serve(runs: int, seconds: int) -> dict[str, Any]:
    """Figures by "tool job" for all that was trained; tools take turns, so a busy neighbour slows all alike."""
    jobs = [(tool, job) for job in JOBS for tool in ("ours", "hand", "autogluon") if _app(tool, job) and _folder(tool, job).exists()]
    first: dict[str, list[float]] = {f"{tool} {job.name}": [] for tool, job in jobs}
    memory: dict[str, list[float]] = {name: [] for name in first}
    loads: dict[str, list[Load]] = {name: [] for name in first}
    for tool, job in jobs:
        if tool == "ours":
            deploy = [COMMAND, "deploy", str(_folder(tool, job)), "--override", "benchmark"]
            subprocess.run(deploy, check=True, stdout=subprocess.DEVNULL)
    for _ in range(runs):
        for tool, job in jobs:
            name, calls = f"{tool} {job.name}", bodies(tool, job)
            with server(tool, job, calls[0]) as one:
                first[name].append(one.first_answer_s)
                loads[name].append(one.load(calls, CONNECTIONS, seconds))
                memory[name].append(one.pss_mb())
    return {
        name: {
            "first answer s": spread_of(first[name], 1.0, 2),
            "PSS MB": spread_of(memory[name], 1.0),
            "calls/s": spread_of([load.per_s for load in loads[name]], 1.0),
            "failed calls": sum(load.errors for load in loads[name]),
        }
        for name in first
    }


def bodies(tool: str, job: Job, limit: int = 1000) -> list[str]:
    """One test row a call, as the tool's server wants it."""
    with (DATA / job.data / "test.csv").open(encoding="utf-8", newline="") as file:
        rows = [{k: float(v) if k in job.numbers else v for k, v in row.items() if k != job.label} for row in csv.DictReader(file)]
    if tool == "ours":
        return [json.dumps({"rows": [row]}) for row in rows[:limit]]
    return [json.dumps({"text": row[job.text]} if job.text else row) for row in rows[:limit]]


@contextmanager
def server(tool: str, job: Job, body: str) -> Iterator[Server]:
    """A fresh process; the clock runs from its start to its first answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    folder = _folder(tool, job)
    if tool == "ours":
        command, route = [COMMAND, "serve", str(folder), "--port", port], f"v1/products/{job.name}/predict"
    else:
        app = ["--app-dir", str(HERE), f"{_app(tool, job)}:app", "--port", port, "--no-access-log"]
        command, route = [str(python(tool)), "-m", "uvicorn", *app], "predict"
    url = f"http://127.0.0.1:{port}/{route}"
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _answers(url, body):
            assert process.poll() is None, f"the server of {tool} ended"
            assert time.perf_counter() - began < PATIENCE_S, f"the server of {tool} does not answer"
            time.sleep(0.002)
        yield Server(process.pid, url, time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _folder(tool: str, job: Job) -> Path:
    return WORK / tool / job.name


def _app(tool: str, job: Job) -> str:
    """The peer's server module; "" where it has none for this job."""
    if tool == "hand":
        return "hand_text_serve" if job.text else "hand_table_serve"
    return {"ours": "trunkline", "autogluon": "" if job.text else "autogluon_table_serve"}[tool]


def _answers(url: str, body: str) -> bool:
    request = urllib.request.Request(url, body.encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return '"label"' in reply.read().decode().replace(" ", "")
    except urllib.error.HTTPError as error:
        raise RuntimeError(error.read().decode()[:500]) from error
    except (urllib.error.URLError, ConnectionError):
        return False  # not listening yet: that is what is measured
