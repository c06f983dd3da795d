"""Adapted trunks: what full fine-tuning and LoRA of e5-small bring, cost and hold in memory.

    python -m benchmarks.adapted learn hotel|sst2|resume_ner finetune|lora [setting=value ...]
    python -m benchmarks.adapted memory
    python -m benchmarks.adapted table

`learn` learns one network on the published training rows (a tenth of them set aside for early stopping; no test row
decides anything) and answers the test rows by the served engine; results lie in results/parts until `table` joins them.
Needs the `train` extra. Data: ../shared/data (measuring only).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.record import RESULTS, record
from benchmarks.spans import loaded, shown
from benchmarks.text_accuracy import DATA

from trunkline.methods import METHODS
from trunkline.methods.adapt import ENGINE
from trunkline.methods.dense_rows import size_of
from trunkline.methods.network import read_net_settings
from trunkline.program import one
from trunkline.proof.intervals import estimate
from trunkline.spec import parse_spec
from trunkline.tasks import TASKS
from trunkline.terminal import Progress
from trunkline.trunks import find
from trunkline.trunks.adapted import Adapted, adapted
from trunkline.trunks.bert_graph import linears
from trunkline.types import Call

SETS: dict[str, dict[str, Any]] = {
    "hotel": {"folder": "chnsenticorp_hotel", "task": "classify", "label": "label", "inputs": {"review": "text"}},
    "hotel, 256 tokens": {
        "folder": "chnsenticorp_hotel", "task": "classify", "label": "label", "inputs": {"review": "text"}, "trunks": {"text": "e5-small@256"},
    },
    "sst2": {"folder": "sst2", "task": "classify", "label": "label", "inputs": {"text": "text"}},
    "resume_ner": {"folder": "resume_ner", "task": "tag", "label": "tags", "inputs": {"tokens": "text"}},
}
PARTS = RESULTS / "parts"
PRODUCTS, TEXTS = 10, 64
TEXT = "房间很干净，服务员态度非常好，早餐也不错，就是离地铁站有点远，下次还会来住。"


def learn(name: str, method: str, settings: dict[str, Any]) -> dict[str, Any]:
    keys = dict(SETS[name])
    folder = Path(DATA) / keys.pop("folder")
    spec = parse_spec({"name": f"{keys['label']}-{method}", "method": {"name": method, "settings": settings}, **keys})
    task = TASKS.get(spec.task)()
    part: Any = METHODS.get(method)()
    train = loaded(spec, task, folder / "train.csv", None)
    chosen = read_net_settings(spec, part.settings)
    learning = part.learning(spec, train, chosen, part.material(spec, train, _no_trunk, chosen))
    learning.progress = _Lines()
    began, processor = time.perf_counter(), time.process_time()
    module, curve = learning(np.arange(len(train)), "all rows")
    seconds, cpu = time.perf_counter() - began, time.process_time() - processor
    head, own, told = part.left(learning, module)
    engine = own.load()
    test = loaded(spec, task, folder / "test.csv", train.labels)
    values = one(head.run(test.inputs), lambda calls: [engine.run(call) for call in calls]).values
    metrics = task.metrics(spec, train.labels)
    figure = "span_f1" if spec.task == "tag" else "accuracy"
    return {
        "data": name, "method": method, "train rows": len(train), "test rows": len(test),
        "accuracy or entity F1": shown(estimate(metrics[figure], test.target, values)),
        "of validation, by epoch": " ".join(_told(epoch.figures) for epoch in curve.epochs),
        "settings": json.dumps(settings), "minutes to learn": round(seconds / 60, 1), "processor minutes": round(cpu / 60, 1),
        "bundle MB": round((own.size_bytes + size_of(head)) / 1e6, 1), "cosine to PyTorch": told["cosine"],
    }  # fmt: skip


def _told(figures: dict[str, float]) -> str:
    return f"F1 {100 * figures['entity_f1']:.1f}" if "entity_f1" in figures else f"loss {figures.get('loss', 0):.3f}"


def _no_trunk(calls: Any) -> Any:
    raise AssertionError("no trunk is asked")


class _Lines(Progress):
    """A line a hundred steps: these runs take long."""

    shown = 0.0

    def step(self, what: str, done: int, total: int, note: str = "", unit: str = "rows") -> None:
        if time.monotonic() - self.shown > 60:
            self.shown = time.monotonic()
            print(what, f"{done}/{total}", note, flush=True)


def products(kind: str, count: int, folder: Path) -> list[Adapted]:
    """As many products of e5-small as asked, with random weights near its own."""
    trunk: Any = find("e5-small")
    parts, made = trunk.parts(), []
    for number in range(count):
        rng = np.random.default_rng(number)
        arrays: dict[str, Any] = {}
        for name in linears(parts.shape):
            weight = np.asarray(parts.weight(f"{name}.weight"))
            if kind == "full":
                arrays[f"{name}.weight"] = weight + rng.normal(0, 1e-3, weight.shape).astype(np.float32)
            else:
                arrays[f"{name}.A"] = rng.normal(0, weight.shape[1] ** -0.5, (16, weight.shape[1]))
                arrays[f"{name}.B"] = rng.normal(0, 0.01, (weight.shape[0], 16))
        made.append(adapted("e5-small", "lora" if kind == "lora" else "full", arrays, folder))
    return made


def memory(kind: str, folder: Path) -> None:
    """In a fresh process: PSS with the trunk alone, then with one and with all products of a kind, each after
    answering; and the middle of a call's milliseconds."""
    made = json.loads((folder / f"{kind}.json").read_text())
    engines = [find("e5-small").load()]
    texts = [f"{TEXT[: 8 + 3 * (i % 10)]} {i}" for i in range(TEXTS)]
    engines[0].run(Call("trunk", texts))
    found: dict[str, Any] = {"trunk_mb": pss(), "trunk_ms": milliseconds(engines[0])}
    for number, digest in enumerate(made, 1):
        about = Adapted.opened(folder / digest, {})
        began = time.perf_counter()
        engines.append(about.load())
        loaded_in = time.perf_counter() - began
        engines[-1].run(Call(ENGINE, texts))
        if number in (1, len(made)):
            found |= {f"mb_{number}": pss(), f"load_s_{number}": round(loaded_in, 2), "ms": milliseconds(engines[-1])}
            found["mb_stored"] = round(about.size_bytes / 1e6, 1)
    print(json.dumps(found))


def milliseconds(engine: Any) -> list[float]:
    """Of a short and a longer text alone: the middle of 40."""
    found = []
    for text in (TEXT[:8], TEXT * 3):
        times = []
        for _ in range(43):
            began = time.process_time()
            engine.run(Call(ENGINE, [text]))
            times.append(time.process_time() - began)
        found.append(round(1000 * float(np.median(times[3:])), 1))
    return found


def pss() -> float:
    """MB of this process, shared pages counted in part."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3, 1)


def measure_memory() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for kind in ("lora", "full"):
            names = []
            for number, own in enumerate(products(kind, PRODUCTS, folder)):
                for name, content in own.packed(Call(ENGINE, [])).items():
                    (folder / f"{kind}{number}").mkdir(exist_ok=True)
                    (folder / f"{kind}{number}" / name).write_bytes(content)
                names.append(f"{kind}{number}")
            (folder / f"{kind}.json").write_text(json.dumps(names))
            told = subprocess.run(
                [sys.executable, "-m", "benchmarks.adapted", "memory-of", kind, place], check=True, capture_output=True, text=True
            )
            one_kind = json.loads(told.stdout.splitlines()[-1])
            each = (one_kind[f"mb_{PRODUCTS}"] - one_kind["mb_1"]) / (PRODUCTS - 1)
            rows.append({
                "products": f"{PRODUCTS} by {'LoRA, rank 16' if kind == 'lora' else 'full fine-tuning'}",
                "trunk alone, MB": one_kind["trunk_mb"], "with one product, MB": one_kind["mb_1"],
                f"with {PRODUCTS}, MB": one_kind[f"mb_{PRODUCTS}"], "each further product, MB": round(each, 1),
                "stored, MB": one_kind["mb_stored"], "load s, first": one_kind["load_s_1"], "load s, last": one_kind[f"load_s_{PRODUCTS}"],
                "processor ms a call, 8 signs": f"{one_kind['ms'][0]} (trunk {one_kind['trunk_ms'][0]})",
                "processor ms a call, 117 signs": f"{one_kind['ms'][1]} (trunk {one_kind['trunk_ms'][1]})",
            })  # fmt: skip
    print(record(
        "adapted_memory", "Ten products adapted from e5-small in one process", rows, packages=("openvino", "numpy"),
        spread="one process a kind; PSS after 64 texts each; the middle of 40 calls, processor time of all threads",
        note="The trunk's own engine is loaded too. Weights are random near the trunk's: memory doesn't depend on them.",
    ))  # fmt: skip


def table() -> None:
    parts = [json.loads(path.read_text()) for path in sorted(PARTS.glob("*.json"))]
    rows = [row for row in parts if "minutes to learn" in row]  # others leave theirs there too
    print(record(
        "adapted", "e5-small adapted: all layers, or LoRA", rows, packages=("torch", "peft", "transformers", "openvino"),
        spread="one network each, one seed; 95 % intervals over the published test rows (Wilson; F1: bootstrap)",
        note="Answered by the served engine (int8), without torch. Minutes beside other work on the machine: processor"
        " minutes say what it took. Settings were not chosen by test rows.",
    ))  # fmt: skip


def main() -> None:
    os.environ.setdefault("TRUNKLINE_THREADS", "1")
    what, *rest = sys.argv[1:]
    if what == "learn":
        name, method, *pairs = rest
        row = learn(name, method, {key: json.loads(value) for key, value in (pair.split("=", 1) for pair in pairs)})
        PARTS.mkdir(parents=True, exist_ok=True)
        (PARTS / f"{name}-{method}.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
        print(row)
    elif what == "memory-of":
        memory(rest[0], Path(rest[1]))
    else:
        {"memory": measure_memory, "table": table}[what]()


if __name__ == "__main__":
    main()
