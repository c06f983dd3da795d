"""Answers found in a context by frozen e5-small tokens: exact match and F1, cut by document.

    python -m benchmarks.answers ["xquad en" ...]

No set has a part for training, so a fourth of the documents is held back for the test by the hash of their text; folds
keep documents together too. Nothing was chosen by test rows.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.record import record
from benchmarks.spans import shown
from benchmarks.text_accuracy import DATA

from trunkline.data.read import open_path, targets
from trunkline.data.rows import gather
from trunkline.data.split import place
from trunkline.desk import Desk
from trunkline.methods.best_sentence import BestSentence
from trunkline.methods.span_linear import SpanLinear
from trunkline.program import one
from trunkline.proof.intervals import estimate
from trunkline.spec import parse_spec
from trunkline.tasks.extract import Extract
from trunkline.types import Call, Prediction

SETS = {"cmrc2018_dev": "cmrc2018_dev/dev.csv", "xquad en": "xquad_en_zh/test_en.csv", "xquad zh": "xquad_en_zh/test_zh.csv"}
TEST_SHARE = 0.25


def measure(name: str, file: str, desk: Desk) -> list[dict[str, Any]]:
    spec = parse_spec({"name": "x", "task": "extract", "label": "answer", "inputs": {"question": "text", "context": "text"}})
    task, path = Extract(), Path(DATA) / file
    rows = gather(spec, open_path(path), path.stem, task.arrange)
    known = rows.examples(*targets(spec, task, rows, None))
    held = np.array([place(key) < TEST_SHARE for key in known.keys])
    train, test = known.take(~held), known.take(held)
    folds, ask = task.folds(train, 5, 0), desk.ask_uncached()
    out = []
    for method in (BestSentence(), SpanLinear()):
        started = time.perf_counter()
        found = method.fit(spec, train, folds, ask)
        seconds = time.perf_counter() - started
        said: Prediction = one(found.head.run(test.inputs), ask)
        row: dict[str, Any] = {"data": name, "method": method.name, "train rows": len(train), "test rows": len(test)}
        row["test documents"] = len(set(test.groups or ()))
        for metric in task.metrics(spec, ()).values():
            row[metric.name] = shown(estimate(metric, test.target, said.values, groups=test.groups))
            row[f"out-of-fold {metric.name}"] = round(100 * metric.of(train.target, found.out_of_fold.values), 1)
        row["seconds to learn"] = round(seconds, 1)
        row["head MB"] = round(sum(array.nbytes for array in found.head.save()[1].values()) / 1e6, 2)
        out.append(row)
        print(row, flush=True)
    return out


def main() -> None:
    desk = Desk()
    desk.ask()([Call("trunk:e5-small", ["warm up"], "tokens")])
    rows = [row for name in sys.argv[1:] or SETS for row in measure(name, SETS[name], desk)]
    print(record(
        "answers",
        "Answers in a context by frozen token vectors (method span_linear, trunk e5-small), beside the best sentence",
        rows,
        spread="one run; 95 % intervals by the bootstrap over test documents; seconds beside other work on the machine",
        note="F1 and exact match as SQuAD's script, for Chinese as CMRC 2018's.",
    ))  # fmt: skip


if __name__ == "__main__":
    main()
