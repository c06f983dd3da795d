"""Many products made of one: copied, served by one stack after another, their answers compared, loaded with wrk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from benchmarks.matrix import copy
from benchmarks.peers.stacks import ALONE, HERE, Running, Stack, running
from benchmarks.peers.venvs import python
from benchmarks.record import TRIAL, spread_of
from benchmarks.trunk_common import banking

from trunkline.init import init_from_template
from trunkline.product import Product
from trunkline.trunks import find
from trunkline.types import Call

MAIN = 20  # products at which stacks are compared
CONNECTIONS, WARM_S = 32, 1
CLOSE = 1e-5
SHORT_S = 4  # a load shorter than this is a trial of the script


@dataclass(frozen=True)
class Seen:
    """A server under load: 10^6 bytes, rows a second, rows a processor second, milliseconds, calls that failed."""

    memory: float
    per_s: float
    per_cpu_s: float
    p50: float
    p99: float
    failed: int


Found = dict[tuple[str, int], list[Seen]]  # by stack and number of products


class Fleet:
    """The shipped support sample, learned on `trunk`, under as many names as wanted. Its equal inputs aren't
    shared: none of the others does that."""

    def __init__(self, root: Path, trunk: str) -> None:
        self.trunk, self._root = trunk, root
        self.texts = banking()[:3000]
        self.failed: dict[str, str] = {}  # stack -> why
        first = root / "support"
        init_from_template(first, "support", "intent")
        with (first / "product.toml").open("a", encoding="utf-8") as file:
            file.write(f'\n[trunks]\ntext = "{trunk}"\n')
        self._product = Product(first)
        self._bundle = self._product.train()

    def folder(self, size: int) -> Path:
        """The first `size` products; files that are there already are linked, not written again."""
        place, every = self._root / f"of{size}", self._root / "all"
        serve = msgspec.structs.replace(self._bundle.spec.serve, reuse=False)
        spec = msgspec.structs.replace(self._bundle.spec, serve=serve)
        names = [f"p{at}" for at in range(size)]
        with ThreadPoolExecutor(8) as pool:  # a copy mostly waits for the disk
            new = [name for name in names if not (every / name).exists()]
            list(pool.map(lambda name: copy(self._bundle, every, name, spec), new))
        for name in names:
            if not (place / name).exists():
                shutil.copytree(every / name, place / name, copy_function=os.link)
        return place

    @cached_property
    def known(self) -> dict[str, Any]:
        """What the product answers to some texts, in this process."""
        texts = self.texts[:MAIN]
        return dict(zip(texts, self._product.predict([{"text": text} for text in texts]), strict=True))

    def check_vectors(self, tool: str) -> None:
        """The encoder in a peer's environment gives the vectors it gives here."""
        command = [str(python(tool)), str(HERE / "model.py"), self.trunk]
        asked = json.dumps(list(self.known))
        done = subprocess.run(command, env={**os.environ, **ALONE}, input=asked, capture_output=True, text=True, check=True)
        here = find(self.trunk).load().run(Call(f"trunk:{self.trunk}", list(self.known)))
        assert np.allclose(json.loads(done.stdout), here, rtol=0, atol=CLOSE), f"{tool}: other vectors"

    def seen(self, stack: Stack, size: int, seconds: int) -> Seen:
        """One fresh server, after each product has been asked once and answered right."""
        with running(stack, self.folder(size)) as one:
            self._check_answers(one)
            one.load(self.texts, CONNECTIONS, WARM_S)
            before = one.cpu_s()
            load = one.load(self.texts, CONNECTIONS, seconds)
            assert load.per_s, f"{stack.name} answered nothing in {seconds} s"
            per_cpu_s = load.per_s * seconds / (one.cpu_s() - before)
            seen = Seen(one.pss_mb(), load.per_s, per_cpu_s, load.p50_ms, load.p99_ms, load.errors)
        print(f"{self.trunk}, {stack.name}, {size} products: {seen}", file=sys.stderr, flush=True)
        return seen

    def tried(self, stack: Stack, size: int, seconds: int) -> Seen | None:
        """The same; None where the stack fails, or failed before: `failed` says why."""
        if stack.name in self.failed:
            return None
        try:
            return self.seen(stack, size, seconds)
        except AssertionError as error:
            self.failed[stack.name] = f"with {size} products: {error}"[:300]
            print(f"{self.trunk}, {stack.name}, FAILED {error}", file=sys.stderr, flush=True)
            return None

    def _check_answers(self, one: Running) -> None:
        texts = list(self.known)
        for at, product in enumerate(one.products):
            text = texts[at % len(texts)]
            found, known = one.ask(product, text), self.known[text]
            assert found is not None, f"{one.stack.name} stopped answering"
            assert (found["label"], list(found["scores"])) == (known["label"], list(known["scores"])), (one.stack.name, found)
            scores = np.array([list(answer["scores"].values()) for answer in (found, known)])
            assert np.ptp(scores, axis=0).max() <= CLOSE, (one.stack.name, found, known)


def rounds(
    fleet: Fleet,
    stacks: Sequence[Stack],
    runs: int,
    seconds: int,
    sizes: Mapping[str, Sequence[int]] | None = None,
    once: Sequence[Stack] = (),
) -> Found:
    """`stacks`, ours first, in turns with MAIN products, `runs` times; in the first round also those named `once`, and
    each stack with the other numbers of products that `sizes` gives for it. One of the others that fails is not
    started again; `fleet.failed` says why."""
    found: Found = {}
    for run in range(runs):
        for stack in (*stacks, *(() if run else once)):
            for size in sorted({MAIN, *(() if run or not sizes else sizes.get(stack.name, ()))}):
                measure = fleet.seen if stack is stacks[0] else fleet.tried
                if seen := measure(stack, size, seconds):
                    found.setdefault((stack.name, size), []).append(seen)
    return found


def table(trunk: str, found: Found, ours: str, target: str) -> Iterable[dict[str, Any]]:
    """A row a stack and number of products, with what it takes and gives beside `ours` in the same rounds."""
    for (name, size), seen in found.items():
        memory, per_s, per_cpu_s, p50, p99, failed = zip(*map(astuple, seen), strict=True)
        row = {
            "trunk": trunk, "server": name, "products": size, "memory, PSS MB": spread_of(memory, 1.0),
            "rows/s": spread_of(per_s, 1.0), "rows/processor s": spread_of(per_cpu_s, 1.0),
            "p50, ms": spread_of(p50, 1.0), "p99, ms": spread_of(p99, 1.0), "failed": sum(failed),
        }  # fmt: skip
        if size == MAIN and name != ours:
            pairs = list(zip(found[ours, MAIN], seen, strict=False))  # a stack that ran once: the first round
            row["memory, times ours"] = spread_of([theirs.memory / own.memory for own, theirs in pairs], 1.0, 2)
            row["our rows/s, times its"] = spread_of([own.per_s / theirs.per_s for own, theirs in pairs], 1.0, 2)
            row["target"] = target
        yield row


def failures(fleet: Fleet) -> str:
    """A sentence for the note; empty where all went well."""
    return "".join(f" FAILED on {fleet.trunk}: {name} {why}." for name, why in fleet.failed.items())


def spread(runs: int, seconds: int) -> str:
    trial = f"{TRIAL}: " if seconds < SHORT_S else ""
    return (
        f"{trial}median (lowest-highest) of {runs} fresh servers with {MAIN} products, in turns; all others once; "
        f"{seconds} s of wrk each, after {WARM_S} s of warming"
    )
