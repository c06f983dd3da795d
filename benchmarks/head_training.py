"""Learning a head on cached features: banking77's 10,003 rows and 77 classes, choice and refit included.

    python -m benchmarks.head_training [repeats]

Beside it what scikit-learn needs for its share: one logistic regression on the same vectors, one fit.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from benchmarks.record import record, spread_of
from benchmarks.text_accuracy import DATA, SETS
from sklearn.linear_model import LogisticRegression

from trunkline.data.read import read_examples
from trunkline.desk import Desk
from trunkline.methods import METHODS
from trunkline.methods.dense_rows import read_rows
from trunkline.methods.ladder import climb
from trunkline.tasks import TASKS
from trunkline.types import Examples

LIMIT = 10.0  # seconds, the whole ladder


def timed(work: Callable[[], Any], repeats: int) -> tuple[list[float], list[float]]:
    """(wall seconds, processor seconds) of each repeat."""
    wall, cpu = [], []
    for _ in range(repeats):
        started, spent = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - spent)
    return wall, cpu


def works(train: Examples) -> dict[str, Callable[[], Any]]:
    spec, task = SETS[0].spec, TASKS.get("classify")()
    ask = Desk().ask()
    vectors = read_rows(spec, train, ask).x.astype(np.float64)  # everything is cached from here on
    folds = task.folds(train, spec.method.folds, spec.seed)

    def method(name: str) -> Callable[[], Any]:
        return lambda: METHODS.get(name)().fit(spec, train, folds, ask)

    return {
        "ladder (ngrams, linear, fused)": lambda: climb(spec, task, train, ask),
        "linear": method("linear"),
        "ngrams": method("ngrams"),
        "scikit-learn, one fit of the vectors, C = 10": lambda: LogisticRegression(C=10, max_iter=1000).fit(
            vectors, train.target
        ),
    }


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    train = read_examples(SETS[0].spec, TASKS.get("classify")(), DATA / SETS[0].folder).train
    rows = []
    for name, work in works(train).items():
        wall, cpu = timed(work, repeats)
        limit = LIMIT if name.startswith("ladder") else ""
        rows.append({"what": name, "seconds": spread_of(wall, 1, 2), "processor seconds": spread_of(cpu, 1, 2), "at most": limit})
        print(rows[-1], flush=True)
    path = record(
        "head_training",
        "Learning a head: 10,003 rows, 77 classes, features cached",
        rows,
        spread=f"median (lowest-highest) of {repeats}",
        note="The ladder chooses penalties, makes out-of-fold predictions, and fits all rows again, on two threads of BLAS width 1.",
        packages=("numpy", "scipy", "scikit-learn"),
    )
    print(path)


if __name__ == "__main__":
    main()
