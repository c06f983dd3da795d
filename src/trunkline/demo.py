"""`trunkline demo`: a first matrix from the shipped samples, trained, proven and asked over HTTP."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from trunkline.bundle import Bundle
from trunkline.desk import Desk
from trunkline.errors import TrunklineError
from trunkline.init import TEMPLATES, init_from_template
from trunkline.product import Product
from trunkline.proof import Report
from trunkline.store.place import REGISTRY
from trunkline.terminal import SILENT, Progress

SENTENCES = (
    "My card hasn't arrived yet, you stupid idiots. Write to anna.lopez@example.com.",
    "孩子发烧三天了，咳嗽不停，应该挂哪个科？",
)
START_SECONDS = 60


@dataclass(frozen=True)
class Trained:
    """One product of the demo."""

    bundle: Bundle
    rows: int  # of training
    seconds: float

    @property
    def report(self) -> Report:
        return Report.from_dict(self.bundle.report)

    @property
    def megabytes(self) -> float:
        return sum(file.stat().st_size for file in self.bundle.folder.rglob("*") if file.is_file()) / 1e6

    @property
    def reads_text(self) -> bool:
        return "text" in self.bundle.spec.inputs.values()


def train_matrix(folder: Path, progress: Progress = SILENT) -> list[Trained]:
    """Every shipped sample as a product below `folder`; a product that is there already is trained again."""
    trained, desk = [], Desk()
    for template, name in TEMPLATES.items():
        home = folder / name
        if not (home / "product.toml").exists():
            init_from_template(home, name, template)
        started = perf_counter()
        bundle = Product(home, desk).train(progress=progress)
        seconds = perf_counter() - started
        bundle = Product(home).deploy(bundle.version) if bundle.manifest.passed else bundle
        trained.append(Trained(bundle, int(bundle.report["data"]["rows"]["train"]), seconds))
    return trained


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`trunkline serve` on a free port: (base URL, process); ended on the way out."""
    command = [sys.executable, "-m", "trunkline", "serve", str(folder), "--port", "0"]
    log = folder / "server.log"  # a file, since a pipe that nobody reads fills up and stops the server
    with log.open("w+", encoding="utf-8") as out:
        # What was just trained is live by its own folders, whatever a company's registry says.
        own = {name: value for name, value in os.environ.items() if name != REGISTRY}
        process = subprocess.Popen(command, stderr=out, env=own)
        try:
            yield _base_url(process, log), process
        finally:
            process.terminate()
            process.wait(timeout=START_SECONDS)


def _base_url(process: subprocess.Popen[bytes], log: Path) -> str:
    until = perf_counter() + START_SECONDS
    while process.poll() is None and perf_counter() < until:
        found = re.search(r"(http://\S+)/docs", log.read_text(encoding="utf-8"))
        if found:
            return found[1]
        sleep(0.05)
    raise TrunklineError("the server didn't start", where=str(log), found=log.read_text(encoding="utf-8")[-500:])


def ask_all(base: str, sentence: str, products: Sequence[str]) -> Mapping[str, Any]:
    """One sentence to many products in one call of /v1/matrix/predict."""
    body = json.dumps({"row": {"text": sentence}, "products": list(products)}).encode()
    request = urllib.request.Request(
        f"{base}/v1/matrix/predict", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        answers: Mapping[str, Any] = json.load(response)
    return answers


def next_steps(folder: Path, base: str | None) -> str:
    """How to go on after the demo."""
    up = f"The server is up: {base}/docs (Ctrl-C ends it)" if base else f"trunkline serve {folder}"
    return "\n".join(
        [
            "Next",
            f"  {up}",
            f"  open {folder}/support/bundles/*/report.html",
            f'  trunkline predict {folder}/departments "最近总是胃痛，饭后更厉害"',
            "  trunkline init reviews --from your.csv --label stars",
        ]
    )
