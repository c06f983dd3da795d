"""Tiny parts through the public doors: a trunk, a task and heads small enough to check by hand.

`register()` adds them for a block; run as a program this file is a server that has them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from trunkline.bundle import Bundle, freeze
from trunkline.bundle.replay import Replay
from trunkline.errors import BundleError
from trunkline.heads import HEADS
from trunkline.shelf import Shelf
from trunkline.spec import parse_spec
from trunkline.tasks import TASKS
from trunkline.trunks import TRUNKS
from trunkline.types import Answer, Arrays, Call, Decision, EngineCard, Head, Inputs, Prediction, Program

REPORT = {"language": "en", "worst": [{"text": "my own row"}]}
HTML = "<!doctype html><title>r</title><p>my own row</p><script>1</script>"
CARD = EngineCard("toy", "f" * 64, "text", ("pooled", "nearest"), 4, "CC0", "made up", precision="fp32")


class ToyEngine:
    """pooled: how many a, b, c and all signs a text has; nearest: the first word."""

    card = CARD
    calls = 0

    def cost(self, item: str) -> int:
        return len(item)

    def run(self, call: Call) -> Any:
        ToyEngine.calls += 1
        if any("slow" in item for item in call.items):
            time.sleep(1.0)
        if call.form == "nearest":
            return [item.split()[0] for item in call.items]
        return np.array([[t.count("a"), t.count("b"), t.count("c"), len(t)] for t in call.items], np.float32)

    def stream(self, call: Call) -> Iterator[Any]:
        yield self.run(call)


class ToyTrunk:
    card = CARD

    def available(self) -> None:
        return None

    def load(self) -> ToyEngine:
        return ToyEngine()


class ToyHead:
    """Probabilities from the letters of one text column; breaks on "break"."""

    format: ClassVar[str] = "toy-letters"

    def __init__(self, column: str, weights: Any) -> None:
        self.column, self.weights = column, np.asarray(weights, np.float32)

    def run(self, rows: Sequence[Inputs]) -> Program:
        texts = [row[self.column] for row in rows]
        if "break" in texts:
            raise ValueError(f"secret row content: {texts}")
        (vectors,) = yield [Call("trunk:toy", texts)]
        return Prediction(softmax(vectors[:, : len(self.weights)] * self.weights))

    def save(self) -> tuple[dict[str, Any], Arrays]:
        return {"column": self.column}, {"weights": self.weights}

    @classmethod
    def load(cls, meta: Mapping[str, Any], arrays: Arrays) -> Self:
        if arrays["weights"].ndim != 1:
            raise BundleError("weights are not a vector")
        return cls(meta["column"], arrays["weights"])


class ToyTwice(ToyHead):
    """Retrieves first (the nearest word), then answers about what it found."""

    format: ClassVar[str] = "toy-twice"

    def run(self, rows: Sequence[Inputs]) -> Program:
        (found,) = yield [Call("trunk:toy", [row[self.column] for row in rows], form="nearest")]
        (vectors,) = yield [Call("trunk:toy", found)]
        return Prediction(softmax(vectors[:, : len(self.weights)] * self.weights))


class ToyTable(ToyHead):
    """A number and no engine: below or above zero."""

    format: ClassVar[str] = "toy-table"

    def run(self, rows: Sequence[Inputs]) -> Program:
        numbers = np.array([row[self.column] for row in rows])[:, None]
        return Prediction(softmax(np.hstack([numbers, np.zeros_like(numbers)])))
        yield []  # a program that asks nothing is still a generator


class ToyTask:
    """What the server needs of a task."""

    name: ClassVar[str] = "toy"

    def finish(self, prediction: Prediction, decision: Decision) -> Prediction:
        return prediction

    def decode(self, finished: Prediction, decision: Decision, labels: Sequence[str]) -> list[Answer]:
        return [
            Answer(
                "ok",
                {"label": labels[int(p.argmax())], "scores": dict(zip(labels, p.tolist(), strict=False))},
            )
            for p in finished.values
        ]

    def answer_schema(self, labels: Sequence[str]) -> dict[str, Any]:
        scores = {"type": "object", "additionalProperties": {"type": "number"}}
        return {"type": "object", "properties": {"label": {"enum": list(labels)}, "scores": scores}}


def softmax(values: Any) -> Any:
    with np.errstate(invalid="ignore"):  # a nan that a caller sends may be a signalling one
        e = np.exp(values - values.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@contextmanager
def register() -> Iterator[None]:
    parts: list[tuple[Any, str, Any]] = [
        (TRUNKS, "toy", ToyTrunk),
        (TASKS, "toy", ToyTask),
        *((HEADS, head.format, head) for head in (ToyHead, ToyTwice, ToyTable)),
    ]
    for door, name, part in parts:
        door.register(name, part)
    try:
        yield
    finally:
        for door, name, _ in parts:
            door.unregister(name)


def make_bundle(
    folder: Path,
    version: str = "v1",
    *,
    name: str = "support",
    inputs: Mapping[str, str] | None = None,
    head: Head | None = None,
    labels: Sequence[str] = ("fee", "card", "other"),
    passed: bool = True,
    trunks: Sequence[EngineCard] | None = None,
    spec: Mapping[str, Any] | None = None,
    extra_files: Mapping[str, bytes] | None = None,
    replays: Sequence[Replay] = (),
    report: Mapping[str, Any] = REPORT,
    html: str = HTML,
) -> Bundle:
    inputs = inputs or {"text": "text"}
    head = head or ToyHead(next(iter(inputs)), [1.0] * min(3, len(labels)))
    if trunks is None:
        trunks = () if isinstance(head, ToyTable) else (CARD,)
    raw = {"name": name, "task": "toy", "label": "y", "inputs": dict(inputs), **(spec or {})}
    return freeze(
        folder,
        spec=parse_spec(raw),
        version=version,
        method="linear",
        head=head,
        decision=Decision(abstain_below=0.1),
        labels=labels,
        trunks=trunks,
        report=report,
        html=html,
        card="# card",
        data={"source": "train.csv", "rows": {"train": 10}},
        verdict_passed=passed,
        extra_files=extra_files,
        replays=replays,
    )


def make_product(root: Path, name: str = "support", **made: Any) -> Shelf:
    """A product folder with a shelf and one bundle more than before."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "product.toml").write_text(f'name = "{name}"\n', encoding="utf-8")
    shelf = Shelf(folder)
    shelf.add(lambda at, version: make_bundle(at, version, name=name, **made))
    return shelf


if __name__ == "__main__":
    from trunkline.serve.run import serve

    with register():
        try:
            serve(Path(sys.argv[1]), port=int(sys.argv[2]), as_json=sys.argv[3:] == ["json"])
        finally:
            print("modules", *sorted(sys.modules))
