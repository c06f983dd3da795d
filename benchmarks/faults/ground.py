"""What the faults stand on: a learned product in two versions that can be told apart, and the server's process."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import msgspec

from trunkline.bundle import Bundle, freeze
from trunkline.init import init_from_template
from trunkline.product import Product
from trunkline.shelf import Shelf

ROOT = Path(__file__).resolve().parents[2]
SERVE = ("-m", "trunkline", "serve")


@dataclass
class Found:
    """One line of the table. wrong: what should not have been; empty where the fault was survived."""

    done: str
    counted: str
    wrong: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        return f"failed: {'; '.join(self.wrong[:3])}" if self.wrong else "survived"


class Ground:
    """The shipped support sample (26 classes) on the default trunk, learned once; `folder` is for this run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def bundle(self) -> Bundle:
        init_from_template(self.folder / "learned" / "support", "support", "intent")
        return Product(self.folder / "learned" / "support").train()

    @cached_property
    def texts(self) -> list[str]:
        """2,000 different ones."""
        with (self.bundle.folder.parents[1] / "test.csv").open(encoding="utf-8", newline="") as file:
            texts = [row["text"] for row in csv.DictReader(file)]
        return [f"{text} {n}" if n else text for n in range(1 + 2_000 // len(texts)) for text in texts][:2_000]

    @cached_property
    def labels(self) -> dict[str, str | None]:
        """Text -> what v1 answers, by the library itself; None where it abstains."""
        product = Product(self.bundle.folder.parents[1])
        answers = product.predict([{"text": text} for text in self.texts])
        return {text: answer["label"] for text, answer in zip(self.texts, answers, strict=True)}

    def right(self, text: str, version: str | None, label: str | None) -> bool:
        """Is it the answer of the version that it names?"""
        known = self.labels[text]
        return label == (known and marked(known, str(version)))

    def products(self, name: str, versions: Sequence[str] = ("v1",)) -> Path:
        """A new folder with the product `support`; what version n answers ends in its number. v1 is live."""
        home = self.folder / name
        for version in versions:
            self.add(home, "support", version)
        Shelf(home / "support").set_live("v1")
        return home

    def add(self, home: Path, name: str, version: str) -> None:
        bundle = self.bundle
        place = home / name
        place.mkdir(parents=True, exist_ok=True)
        source = bundle.folder.parents[1]
        (place / "product.toml").write_bytes((source / "product.toml").read_bytes())
        Shelf(place).add(
            lambda at, given: freeze(
                at,
                spec=msgspec.structs.replace(bundle.spec, name=name),
                version=given,
                method=bundle.manifest.method,
                head=bundle.head(),
                decision=bundle.decision,
                labels=[marked(label, version) for label in bundle.labels],
                trunks=bundle.manifest.trunks,
                report=bundle.report,
                html=bundle.read("report.html").decode(),
                card="",
                data=bundle.data,
                verdict_passed=True,
            )
        )


def marked(label: str, version: str) -> str:
    return label if version == "v1" else f"{label} {version}"


class Running:
    """A server's process and its log."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, since: int) -> None:
        self.process, self.log, self._since = process, log, since
        until(lambda: bool(self._address()) or process.poll() is not None, 60, "the server doesn't come up")
        assert process.poll() is None, self._text()[-2_000:]
        self.url = str(self._address())
        self.port = int(self.url.rsplit(":", 1)[1])

    def _address(self) -> str | None:
        found = re.search(r"(https?://127\.0\.0\.1:\d+)/docs", self._text())
        return found and found[1]

    def _text(self) -> str:
        return self.log.read_bytes()[self._since :].decode(errors="replace")

    def said(self, message: str) -> list[dict[str, Any]]:
        """Lines of its log since its start."""
        lines = [line for line in self._text().splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in map(json.loads, lines) if line["message"] == message]

    @property
    def pids(self) -> list[int]:
        """Of the worker processes; its own where it is alone."""
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] or [pid]

    def memory(self, key: str = "VmRSS") -> float:
        """10^6 bytes of all of them; VmHWM is the most since `forget_peak`."""
        lines = [line for pid in self.pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024 / 1e6

    def files(self) -> int:
        """How many are open, connections with them."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.pids)

    def forget_peak(self) -> None:
        for pid in self.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def ask(self, text: str = "my card has not arrived", **headers: str) -> httpx.Response:
        body = {"row": {"text": text}}
        return httpx.post(f"{self.url}/v1/products/support/predict", json=body, headers=headers, timeout=60)

    def metric(self, name: str) -> float:
        """The sum over all its labels."""
        lines = httpx.get(f"{self.url}/metrics", timeout=60).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if re.match(rf"{name}[ {{]", line))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> float:
        """Seconds that it takes to end."""
        began = time.monotonic()
        stop(self.process)
        return time.monotonic() - began


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks it to end, with its workers; kills it if it doesn't."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(30)


@contextmanager
def served(
    folder: Path,
    *options: str,
    program: Sequence[str] = SERVE,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Iterator[Running]:
    """`trunkline serve FOLDER` until the block ends; its log is beside the folder, unless named."""
    log = log or folder.with_name(f"{folder.name}.log")
    log.touch()
    since = log.stat().st_size
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, *program, str(folder), *(options if "--port" in options else ("--port", "0", *options))],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
        )
    try:
        yield Running(process, log, since)
    finally:
        stop(process)


def until(true: Callable[[], bool], seconds: float, why: str) -> float:
    """Seconds until it is so. Raises AssertionError."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, why
        time.sleep(0.02)
    return time.monotonic() - began


@contextmanager
def ground() -> Iterator[Ground]:
    with tempfile.TemporaryDirectory(prefix="trunkline-faults-") as folder:
        yield Ground(Path(folder))
