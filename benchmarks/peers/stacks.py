"""Servers of many products, ours and others': how each is started, asked, read and weighed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.peers.venvs import ROOT, python
from benchmarks.serving import COMMAND, Load, load
from benchmarks.startup import free_port

from trunkline.engines.threads import workers as cores

HERE = Path(__file__).resolve().parent
PATIENCE_S, GRACE_S = 240, 2
_JSON = {"content-type": "application/json"}
TICK = os.sysconf("SC_CLK_TCK")
Command = Callable[[Path, int, Path], list[str]]
_PATHS = os.pathsep.join(map(str, (HERE, ROOT / "src")))  # they read our engine from this working tree
# Sessions of their own: one thread in each, and as many at work as there are processes or pool threads.
ALONE = {"PYTHONPATH": _PATHS, "TRUNKLINE_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
         "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip


@dataclass(frozen=True)
class Stack:
    """command: (folder of products, port, folder for its files) -> what to start there. path, body, answer: of one
    product's call with one text."""

    name: str
    command: Command
    path: str = "/{}"
    body: Callable[[str], Any] = lambda text: {"text": text}
    answer: Callable[[Any], Any] = lambda reply: reply
    environment: dict[str, str] = field(default_factory=lambda: ALONE)


def _plain(products: Path, port: int, files: Path) -> list[str]:
    app = ["serve_plain:app", "--app-dir", str(HERE), "--port", str(port), "--no-access-log"]
    return [sys.executable, "-m", "uvicorn", *app]


def _litserve(max_batch: int) -> Command:
    script = [str(python("litserve")), str(HERE / "serve_litserve.py")]
    return lambda products, port, files: [*script, str(port), str(max_batch)]


def _bentoml(products: Path, port: int, files: Path) -> list[str]:  # $WORKERS says how many
    serve = [str(python("bentoml").parent / "bentoml"), "serve", "serve_bentoml:Products"]
    return [*serve, "--working-dir", str(HERE), "--port", str(port)]


def _mlserver(count: int) -> Command:
    def command(products: Path, port: int, files: Path) -> list[str]:
        settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": free_port(), "metrics_port": free_port(),
                    "parallel_workers": count}  # fmt: skip
        (files / "settings.json").write_text(json.dumps(settings))
        for product in products.iterdir():
            own = {"name": product.name, "implementation": "serve_mlserver.Product",
                   "parameters": {"uri": str(product)}, "max_batch_size": 8, "max_batch_time": 0.01}  # fmt: skip
            (files / product.name).mkdir()
            (files / product.name / "model-settings.json").write_text(json.dumps(own))
        return [str(python("mlserver").parent / "mlserver"), "start", str(files)]

    return command


OURS = Stack(
    "Trunkline",
    lambda products, port, files: [COMMAND, "serve", str(products), "--port", str(port)],
    "/v1/products/{}/predict",
    lambda text: {"rows": [{"text": text}]},
    lambda reply: reply["answers"][0],
    {},
)
PLAIN = Stack("plain sessions", _plain)
LITSERVE = Stack("LitServe", _litserve(1))
BENTOML = Stack(
    "BentoML",
    _bentoml,
    body=lambda text: {"texts": [text]},
    answer=lambda reply: reply[0],
    environment={**ALONE, "WORKERS": str(cores())},
)
MLSERVER = Stack(
    "MLServer",
    _mlserver(cores()),
    "/v2/models/{}/infer",
    lambda text: {"inputs": [{"name": "texts", "shape": [1], "datatype": "BYTES", "data": [text]}]},
    lambda reply: json.loads(reply["outputs"][0]["data"][0]),
)
PEERS = (LITSERVE, BENTOML, MLSERVER)
# The other choice that each one's documentation leaves open.
VARIANTS = (
    replace(LITSERVE, name="LitServe, batching on", command=_litserve(8)),
    replace(BENTOML, name="BentoML, one worker", environment={**ALONE, "WORKERS": "1"}),
    replace(MLSERVER, name="MLServer, one worker", command=_mlserver(1)),
)


@dataclass(frozen=True)
class Running:
    """A stack that answers for `products`."""

    stack: Stack
    pid: int
    port: int
    products: Sequence[str]

    def ask(self, product: str, text: str) -> dict[str, Any] | None:
        """The product's answer; None while it isn't there yet."""
        url = f"http://127.0.0.1:{self.port}{self.stack.path.format(product)}"
        body = json.dumps(self.stack.body(text)).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, _JSON), timeout=PATIENCE_S) as reply:
                return dict(self.stack.answer(json.load(reply)))
        except (urllib.error.URLError, ConnectionError, TimeoutError):  # not listening, or not loaded
            return None

    def load(self, texts: Sequence[str], connections: int, seconds: int) -> Load:
        paths = [self.stack.path.format(product) for product in self.products]
        bodies = [json.dumps(self.stack.body(text)) for text in texts]
        return load(f"http://127.0.0.1:{self.port}/", paths, bodies, connections, seconds)

    def pss_mb(self) -> float:
        """Proportional set size of all its processes, 10^6 bytes."""
        found = (re.search(r"^Pss:\s+(\d+) kB", _proc(pid, "smaps_rollup"), re.MULTILINE) for pid in tree(self.pid))
        return sum(int(one[1]) for one in found if one) * 1024 / 1e6

    def cpu_s(self) -> float:
        """Processor seconds that its processes have used."""
        stats = (_proc(pid, "stat").rpartition(")")[2].split() for pid in tree(self.pid))
        return sum(int(stat[11]) + int(stat[12]) for stat in stats if stat) / TICK


@contextmanager
def running(stack: Stack, folder: Path) -> Iterator[Running]:
    """The stack with all products below `folder`, each of which has answered; all its processes end with it."""
    products, port = sorted(product.name for product in folder.iterdir()), free_port()
    environment = {**os.environ, **stack.environment, "PRODUCTS": str(folder)}
    with tempfile.TemporaryDirectory() as files, (Path(files) / "log").open("w+") as log:
        command = stack.command(folder, port, Path(files))
        process = subprocess.Popen(command, cwd=files, env=environment, stdout=log, stderr=log)
        one = Running(stack, process.pid, port, products)
        try:
            until = time.monotonic() + PATIENCE_S
            for product in products:
                while one.ask(product, "hello") is None:
                    told = Path(log.name).read_text()[-2000:]
                    assert process.poll() is None, f"{stack.name} ended: {told}"
                    assert time.monotonic() < until, f"{stack.name} does not answer for {product}: {told}"
                    time.sleep(0.1)
            yield one
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    children = [pid for pid in tree(process.pid) if pid != process.pid]
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    for pid in (*children, process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    threads = Path(f"/proc/{pid}/task")
    own = [thread.name for thread in threads.iterdir()] if threads.exists() else []
    children = [int(child) for thread in own for child in _proc(pid, f"task/{thread}/children").split()]
    return [pid, *(found for child in children for found in tree(child))]


def _proc(pid: int, name: str) -> str:
    """A file of a process; empty where it ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return ""
