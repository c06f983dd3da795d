"""Spans of texts by frozen e5-small tokens and a linear head: entity F1 on published test rows.

    python -m benchmarks.spans

Learned on train alone (resume_ner's dev part is not used); nothing was chosen by test rows. pii_en is cut by sentence
template, so its test sentences are of forms that training never shows, and folds keep templates together.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import record
from benchmarks.text_accuracy import DATA

from trunkline.data.read import arrange_of, open_path, targets
from trunkline.data.rows import gather
from trunkline.desk import Desk
from trunkline.methods.token_linear import TokenLinear
from trunkline.program import one
from trunkline.proof.intervals import estimate
from trunkline.spec import Spec, parse_spec
from trunkline.tasks.tag import Tag
from trunkline.types import Call, Estimate, Examples, Task

SETS: dict[str, dict[str, Any]] = {
    "resume_ner": {"label": "tags", "inputs": {"tokens": "text"}},
    "pii_en": {"label": "spans", "inputs": {"text": "text"}, "data": {"group": "template_id"}},
}


def measure(name: str, keys: dict[str, Any], desk: Desk) -> dict[str, Any]:
    spec, task = parse_spec({"name": "x", "task": "tag", "method": {"head_mb": 2.0}, **keys}), Tag()
    folder = Path(DATA) / name
    train = loaded(spec, task, folder / "train.csv", None)
    test = loaded(spec, task, folder / "test.csv", train.labels)
    ask = desk.ask_uncached()
    desk.ask()([Call("trunk:e5-small", ["warm up"], "tokens")])
    started = time.perf_counter()
    found = TokenLinear().fit(spec, train, task.folds(train, 5, 0), ask)
    seconds = time.perf_counter() - started
    said = one(found.head.run(test.inputs), ask).values
    metrics = task.metrics(spec, train.labels)
    row: dict[str, Any] = {"data": name, "train rows": len(train), "test rows": len(test), "types": len(train.labels)}
    row["true spans"] = sum(map(len, test.target))
    for metric in ("span_f1", "span_precision", "span_recall", "exact_spans"):
        row[metric] = shown(estimate(metrics[metric], test.target, said, groups=test.groups))
    row["out-of-fold F1"] = round(100 * metrics["span_f1"].of(train.target, found.out_of_fold.values), 1)
    row["seconds to learn"] = round(seconds, 1)
    row["head MB"] = round(sum(array.nbytes for array in found.head.save()[1].values()) / 1e6, 2)
    return row


def loaded(spec: Spec, task: Task, path: Path, labels: Sequence[str] | None) -> Examples:
    rows = gather(spec, open_path(path), path.stem, arrange_of(task))
    return rows.examples(*targets(spec, task, rows, labels))


def shown(found: Estimate) -> str:
    return f"{100 * found.value:.1f} ({100 * found.low:.1f}-{100 * found.high:.1f})"


def main() -> None:
    desk = Desk()
    rows = [measure(name, keys, desk) for name, keys in SETS.items()]
    print(record(
        "spans",
        "Spans by frozen token vectors and a linear head (method token_linear, trunk e5-small)",
        rows,
        spread="one run; 95 % intervals by the bootstrap over test rows (pii_en: over its templates); seconds beside"
        " other work on the machine",
        note="Entities count whole: start, end and type right. Seconds hold the trunk's pass, three to five folds and the"
        " last fit. Lattice LSTM's published figure on resume_ner is 94.5.",
    ))  # fmt: skip
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
