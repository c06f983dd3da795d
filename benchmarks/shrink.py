"""Smaller forms: int8 of a fine-tuned e5-small, students taught by it, and a network of digits with half of its channels.

    python -m benchmarks.shrink learn hotel|banking77 [setting=value ...]   the fine-tuned e5-small, kept in the cache
    python -m benchmarks.shrink int8 hotel|banking77
    python -m benchmarks.shrink student hotel|banking77 [layers=2 ...|words|head|pruned]
    python -m benchmarks.shrink prune
    python -m benchmarks.shrink table

Learned on the published training rows but a tenth, by which forms are compared and networks stopped; no test row decides
anything. Results lie in results/parts until `table` joins them. Needs the `train` extra. Data: ../shared/data (measuring only).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from benchmarks.adapted import _Lines, _no_trunk
from benchmarks.record import RESULTS, record, spread_of
from benchmarks.spans import loaded
from benchmarks.text_accuracy import DATA

from trunkline.desk import Desk
from trunkline.line.train import Line
from trunkline.methods.adapt import ENGINE, Finetune, FinetuneSettings, agreement, head_on
from trunkline.methods.dense_rows import texts_of
from trunkline.methods.network import read_net_settings
from trunkline.shrink import run, students
from trunkline.shrink.job import Job
from trunkline.shrink.measure import Costs, Stand, costs, loss
from trunkline.shrink.weights import fewer_layers
from trunkline.spec import Spec, parse_spec
from trunkline.tasks import TASKS
from trunkline.trunks.adapted import Adapted, adapted
from trunkline.trunks.cache import cache_folder
from trunkline.types import Call, Decision, Estimate, Examples

SETS: dict[str, dict[str, Any]] = {
    "hotel": {"folder": "chnsenticorp_hotel", "label": "label", "inputs": {"review": "text"}},
    "banking77": {"folder": "banking77", "label": "category", "inputs": {"text": "text"}},
}
ROUNDS, TOGETHER = 5, 64
FEW = int(os.environ.get("TRUNKLINE_BENCH_ROWS", "0"))  # a try on so many rows, whose results are kept apart
PARTS = RESULTS / "parts" if not FEW else cache_folder() / "benchmarks-try"


def place() -> Path:
    """Of the networks that are kept."""
    return cache_folder() / ("benchmarks-try" if FEW else "benchmarks")


def spec_for(name: str, settings: dict[str, Any]) -> Spec:
    keys = {key: value for key, value in SETS[name].items() if key != "folder"}
    return parse_spec({"name": f"shrink-{name}", "task": "classify", "method": {"name": "finetune", "settings": settings}, **keys})


def rows_of(name: str) -> tuple[Examples, Examples]:
    spec, folder = spec_for(name, {}), Path(DATA) / SETS[name]["folder"]
    task = TASKS.get("classify")()
    train = loaded(spec, task, folder / "train.csv", None)
    test = loaded(spec, task, folder / "test.csv", train.labels)
    every = max(1, len(train) // FEW) if FEW else 1
    return train.take(np.arange(0, len(train), every)), test.take(np.arange(0, len(test), every))


def learn(name: str, settings: dict[str, Any]) -> None:
    """Full fine-tuning, its weights kept as float32."""
    from safetensors.numpy import save_file

    spec, (train, _) = spec_for(name, settings), rows_of(name)
    method, chosen = Finetune(), read_net_settings(spec, FinetuneSettings)
    learning = method.learning(spec, train, chosen, method.material(spec, train, _no_trunk, chosen))
    learning.progress = _Lines()
    began = time.process_time()
    module, whole = learning(np.arange(len(train)), "all rows")
    weights, bias = module.top()
    place().mkdir(parents=True, exist_ok=True)
    save_file({**module.learned(), "top.weights": weights, "top.bias": bias}, place() / f"{name}.safetensors")
    minutes = round((time.process_time() - began) / 60, 1)
    told = {"settings": settings, "processor minutes": minutes, "validation loss": [round(each.figures["loss"], 4) for each in whole.epochs]}
    write(f"shrink-{name}-learn", told)
    print(told, "cosine", agreement(module, network(name, "w8-dq128").load(), texts_of(spec, train)[:16]))


def kept(name: str) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(place() / f"{name}.safetensors"))


def network(name: str, precision: str) -> Adapted:
    arrays = {key: array for key, array in kept(name).items() if not key.startswith("top.")}
    return adapted("e5-small", "full", arrays, place(), precision)


@dataclass(frozen=True, eq=False)
class Ground(Job):
    """A job without a bundle: the fine-tuned network in int8, as it is served."""

    name: str = ""

    @property
    def method(self) -> str:
        return "finetune"

    @property
    def held_none(self) -> bool:
        return False

    @property
    def share(self) -> float:
        return FinetuneSettings().validation

    @property
    def folder(self) -> Path:
        return place() / self.name

    @property
    def own(self) -> Adapted:
        return cast(Adapted, self.whole.networks[ENGINE])

    @property
    def whole(self) -> Stand:
        return self.standing("w8-dq128")

    @property
    def before(self) -> Stand:
        return self.whole

    def standing(self, precision: str) -> Stand:
        known = kept(self.name)
        (column,) = self.spec.inputs
        head = head_on(ENGINE, column, "logistic" if len(self.train.labels) == 2 else "softmax", known["top.weights"], known["top.bias"])
        return Stand(head, Decision(), {ENGINE: network(self.name, precision)})


def ground(name: str) -> Ground:
    spec, (train, test) = spec_for(name, {}), rows_of(name)
    checked = cast(Any, SimpleNamespace(loaded=SimpleNamespace(train=train, test=test)))
    return Ground(Line(spec, place(), Desk(), _Lines()), cast(Any, None), checked, train, name=name)


def int8(name: str) -> list[dict[str, Any]]:
    """Test rows answered by 32 bits, bfloat16 and int8; speed of batches and of single calls, in turn."""
    job = ground(name)
    test, exact = job.checked.loaded.test, job.standing("f32")
    forms = {precision: job.standing(precision) for precision in ("f32", "bf16", "w8-dq128")}
    answers = {form: stand.answered(job.task, test.inputs, job.line.desk.ask_uncached(stand.networks)) for form, stand in forms.items()}
    speeds = fast(job, forms, texts_of(job.spec, test))
    found = []
    for form, stand in forms.items():
        lost, spent = loss(job.spec, job.task, test, answers["f32"], answers[form]), in_turn(job, exact, stand, test)
        found.append({
            "data": name, "form": form, "test rows": len(test), "accuracy": percent(lost.after), "points lost": told(lost.points, 2),
            "stored MB": round(stand.size_bytes / 1e6, 1), "rows/s, batches": speeds[form][0], "times fp32, batches": speeds[form][1],
            "ms a call": told(spent.after, 2), "times fp32, calls": told(spent.times, 2), "bits alone = in batches": alone(stand, texts_of(job.spec, test)),
        })  # fmt: skip
    return found


def fast(job: Job, forms: dict[str, Stand], texts: list[str]) -> dict[str, tuple[str, str]]:
    """Rows a processor second of the engines, batches as the server makes them, in ROUNDS in turn: (rows/s, times f32)."""
    engines = {form: job.line.desk.features.engine(stand.networks[ENGINE]) for form, stand in forms.items()}
    texts = texts[:512]
    spent: dict[str, list[float]] = {form: [] for form in forms}
    for at in range(-1, ROUNDS):
        for form, engine in engines.items():
            began = time.process_time()
            engine.run(Call(ENGINE, texts))
            if at >= 0:
                spent[form].append(time.process_time() - began)
    found: dict[str, tuple[str, str]] = {}
    for form, seconds in spent.items():
        rates, times = [len(texts) / each for each in seconds], [a / b for a, b in zip(spent["f32"], seconds, strict=True)]
        found[form] = spread_of(rates, 1, 0), spread_of(times, 1, 2)
    return found


def alone(stand: Stand, texts: list[str]) -> str:
    engine, some = stand.networks[ENGINE].load(), texts[:TOGETHER]
    single = np.concatenate([engine.run(Call(ENGINE, [text])) for text in some])
    return "yes" if engine.run(Call(ENGINE, some)).tobytes() == single.tobytes() else "NO"


def in_turn(job: Job, before: Stand, after: Stand, rows: Examples) -> Costs:
    def answering(stand: Stand) -> Callable[[Any], object]:
        ask = job.line.desk.ask_uncached(stand.networks)
        return lambda some: job.task.decode(stand.answered(job.task, some, ask), stand.decision, rows.labels)

    return costs(answering(before), answering(after), rows.inputs)


def student(name: str, form: str) -> list[dict[str, Any]]:
    """One form, taught; its loss on the held-out and on the test rows, its time beside the teacher's in int8 and in 32 bits."""
    job = ground(name)
    what, _, count = form.partition("=")
    began = time.process_time()
    made: Any = students._cut(job, form, fewer_layers(students._parts(job), int(count))) if count else run.FORMS[what](job)
    minutes = (time.process_time() - began) / 60
    held, test = (run._loss(job, made.stand, rows) for rows in (job.held, job.checked.loaded.test))
    served, exact = (in_turn(job, stand, made.stand, job.checked.loaded.test) for stand in (job.whole, job.standing("f32")))
    return [{
        "data": name, "student": form, "held-out rows": held.points.n, "points lost, held out": told(held.points, 1),
        "test rows": test.points.n, "teacher": percent(test.before), "student's accuracy": percent(test.after), "points lost, test": told(test.points, 1),
        "MB": f"{job.whole.size_bytes / 1e6:.1f} to {made.stand.size_bytes / 1e6:.1f}", "ms a call": told(served.after, 2),
        "times faster than int8": told(served.times, 1), "times faster than fp32": told(exact.times, 1), "processor minutes": round(minutes, 1),
    }]  # fmt: skip


def percent(found: Estimate, digits: int = 1) -> str:
    return told(Estimate(100 * found.value, 100 * found.low, 100 * found.high, found.n), digits)


def told(found: Estimate, digits: int) -> str:
    return f"{found.value:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"


def write(name: str, content: Any) -> None:
    PARTS.mkdir(parents=True, exist_ok=True)
    (PARTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


TABLES = {
    "int8": ("shrink_int8", "int8 of a fine-tuned e5-small", "one network a set; 95 % intervals: Wilson, paired differences, Student's t over 120 calls in turn; batches: median and range of 5 rounds of 512 rows in turn", "Processor time, all threads; f32, bf16 and int8 (w8-dq128: groups of 128) are the same weights. Chosen nothing by test rows."),
    "student": ("shrink_student", "Students taught by a fine-tuned e5-small", "one network each, one seed; 95 % intervals: Wilson, paired differences, Student's t over 120 calls in turn", "layers=N: so many of the trunk's twelve, int8; words: a convolution over words. Of the teacher's time, int8 is what is served, fp32 what it was learned in. Processor time, all threads."),
    "prune": ("shrink_prune", "A network of digits with half of its channels", "one network, one seed; 95 % intervals: Wilson, paired differences, Student's t over 120 calls in turn", "Processor time of single calls by ONNX Runtime, one thread."),
}  # fmt: skip


def table() -> None:
    for what, (name, title, spread, note) in TABLES.items():
        rows = [row for path in sorted(PARTS.glob(f"shrink-{what}-*.json")) for row in json.loads(path.read_text())]
        if rows:
            print(record(name, title, rows, packages=("torch", "onnxruntime", "openvino", "numpy"), spread=spread, note=note))


def main() -> None:
    os.environ.setdefault("TRUNKLINE_THREADS", "1")
    what, *rest = sys.argv[1:] or ["table"]
    if what == "learn":
        learn(rest[0], {key: json.loads(value) for key, value in (pair.split("=", 1) for pair in rest[1:])})
    elif what == "int8":
        write(f"shrink-int8-{rest[0]}", rows := int8(rest[0]))
        print(*rows, sep="\n")
    elif what == "student":
        for form in rest[1:] or ["layers=3", "layers=2", "words"]:
            write(f"shrink-student-{rest[0]}-{form.replace('=', '')}", rows := student(rest[0], form))
            print(*rows, sep="\n")
    elif what == "prune":
        from benchmarks.shrink_digits import prune

        write("shrink-prune-digits", rows := prune(place()))
        print(*rows, sep="\n")
    else:
        table()


if __name__ == "__main__":
    main()
