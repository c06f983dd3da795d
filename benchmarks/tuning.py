"""Tuning: 30 trials against the settings that a product has without a word, and a search killed half-way.

    python -m benchmarks.tuning [--jobs 2]                       # both sets and their table
    python -m benchmarks.tuning hotel|adult                      # one set; kept in results/parts
    python -m benchmarks.tuning hotel --trials 4 --rows 400      # a trial of the script; nothing is kept
    python -m benchmarks.tuning table                            # results/tuning.json from what the sets found

The search sees the training rows only. At its end product as it is and tuned settings are each learned on all training
rows and asked about the published test rows, once. The second search is killed (SIGKILL) when half of its trials are on
disk, and gone on with; everything it found but its seconds must be equal. Data: ../shared/data (measuring only).
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, record
from benchmarks.tables import ADULT, DATA

from trunkline.data.read import read_examples
from trunkline.desk import Desk
from trunkline.line.train import without_leaks
from trunkline.methods.ladder import climb
from trunkline.program import one
from trunkline.proof.intervals import estimate, paired
from trunkline.proof.tuned import AS_IT_IS, Choice
from trunkline.spec import Spec, dump_spec, parse_spec
from trunkline.spec.reference import to_toml
from trunkline.tasks import TASKS
from trunkline.tuning.space import applied
from trunkline.types import Estimate, Prediction

HOTEL = parse_spec({
    "name": "hotel", "task": "classify", "label": "label", "inputs": {"review": "text"}, "data": {"test": "test.csv"},
})  # fmt: skip
SETS = {"hotel": ("chnsenticorp_hotel", HOTEL), "adult": ("adult", ADULT)}
PARTS = RESULTS / "parts"
TRIALS, WAIT = 30, 0.05
DAY = 86_400.0


@dataclass(frozen=True)
class Asked:
    name: str
    trials: int
    rows: int  # of each part; 0 = all
    jobs: int


def product(folder: Path, asked: Asked) -> Path:
    source, spec = SETS[asked.name]
    folder.mkdir()
    for part in ("train", "test"):
        with (DATA / source / f"{part}.csv").open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)  # sorted by label
        with (folder / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows[:: max(1, len(rows) // asked.rows) if asked.rows else 1]])
    keys = {**dump_spec(spec), "tune": {"trials": asked.trials}}
    (folder / "product.toml").write_text(to_toml(keys), encoding="utf-8")
    return folder


def command(folder: Path, asked: Asked) -> list[str]:
    return [sys.executable, "-m", "trunkline", "tune", str(folder), "--jobs", str(asked.jobs), "--json"]


def searched(folder: Path, asked: Asked) -> tuple[dict[str, Any], float]:
    """(what the command told, its seconds by the clock)."""
    began = time.perf_counter()
    done = subprocess.run(command(folder, asked), check=True, stdout=subprocess.PIPE, timeout=DAY)
    return json.loads(done.stdout), time.perf_counter() - began


def killed(folder: Path, asked: Asked) -> int:
    """Trials on disk (the product as it is counted too) when the search was killed."""
    with subprocess.Popen(command(folder, asked), stdout=subprocess.DEVNULL) as process:
        while on_disk(folder) < 1 + asked.trials // 2 and process.poll() is None:
            time.sleep(WAIT)
        process.send_signal(signal.SIGKILL)
    return on_disk(folder)


def on_disk(folder: Path) -> int:
    file = folder / ".trunkline" / "tune" / "study.db"
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5) as database:
            return int(database.execute("SELECT count(*) FROM trials").fetchone()[0])
    except sqlite3.OperationalError:  # not made yet
        return 0


def different(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What two searches found that isn't equal, seconds aside."""
    fields = [key for key in ("search", "best", "importance", "gain") if one[key] != other[key]]
    pairs = enumerate(zip(one["trials"], other["trials"], strict=False))
    trials = [f"trial {at}: {key} {a[key]!r}, {b[key]!r}" for at, (a, b) in pairs for key in a if key != "seconds" and a[key] != b[key]]
    return [*fields, *trials, *(["number of trials"] if len(one["trials"]) != len(other["trials"]) else [])]


def tested(folder: Path, told: dict[str, Any]) -> tuple[Estimate, Estimate, Estimate]:
    """(the product as it is, the settings found, the paired gain) on the test rows."""
    spec = SETS[folder.name][1]
    task, desk = TASKS.get(spec.task)(), Desk()
    loaded = without_leaks(read_examples(spec, task, folder))
    metric = task.metrics(spec, loaded.train.labels)[task.primary(spec)]

    def answered(made: Spec) -> Prediction:
        candidate = climb(made, task, loaded.train, desk.ask()).candidate
        decision = task.calibrate(made, loaded.train, candidate.out_of_fold)
        return task.finish(one(candidate.head.run(loaded.test.inputs), desk.ask()), decision)

    before = answered(spec)
    best = told["trials"][told["best"]]
    after = before if told["best"] == AS_IT_IS else answered(applied(spec, Choice(**best["choice"])))
    target = loaded.test.target
    own, found = (estimate(metric, target, each.values) for each in (before, after))
    return own, found, paired(metric, target, after.values, before.values)


def measure(asked: Asked) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        folder = product(Path(place) / asked.name, asked)
        told, seconds = searched(folder, asked)
        again = product(Path(place) / f"{asked.name}-again", asked)
        half = killed(again, asked)
        resumed, rest = searched(again, asked)
        before, after, gain = tested(folder, told)
    states = [trial["state"] for trial in told["trials"][1:]]
    best = told["trials"][told["best"]]
    cores = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "data": asked.name, "training rows": told["rows"], "test rows": before.n, "metric": told["metric"],
        "as it is": f"{told['trials'][0]['choice']['method']} {_share(before)}", "tuned": f"{best['choice']['method']} {_share(after)}",
        "settings": best["choice"]["settings"], "gain on the test rows, points": _points(gain),
        "gain on other folds, points": _points(Estimate(**told["gain"])) if told["gain"] else "the product as it is was best",
        "trials": f"{states.count('done')} done, {states.count('pruned')} cut short, {states.count('failed')} failed",
        "seconds": round(seconds, 1), "trials a second": round(told["ran"] / told["ran_seconds"], 3),
        "killed after": half - 1, "resumed, s": round(rest, 1), "same result": not (other := different(resumed, told)), **({"differs in": other} if other else {}),
        "processor minutes, both searches": round((cores.ru_utime + cores.ru_stime) / 60, 1),
    }  # fmt: skip


def _share(found: Estimate) -> str:
    return f"{found.value:.2%} ({found.low:.2%}-{found.high:.2%})"


def _points(gain: Estimate) -> str:
    return f"{100 * gain.value:+.2f} ({100 * gain.low:+.2f} to {100 * gain.high:+.2f})"


def table() -> None:
    rows = [json.loads(file.read_text(encoding="utf-8")) for name in SETS if (file := PARTS / f"tuning_{name}.json").exists()]
    record(
        "tuning", "Tuning: 30 trials against the settings of a product without a word", rows,
        spread="95 % intervals of paired differences: over the test rows, and out of fold over the training rows on folds of another seed; each search ran once whole and once killed",
        note="`trunkline tune` by itself: the methods of the ladder and `mlp` over their own ranges. The test rows were asked once, after the search. Seconds: the whole command, the first encoding of the rows included where the cache was empty.",
        packages=("optuna", "scikit-learn", "lightgbm"),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", choices=[*SETS, "table", "all"], default="all")
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    kept = given.trials == TRIALS and not given.rows
    names: dict[str, list[str]] = {"all": list(SETS), "table": []}
    for name in names.get(given.what, [given.what]):
        found = json.dumps(measure(Asked(name, given.trials, given.rows, given.jobs)), indent=2, ensure_ascii=False)
        print(found)
        if kept:
            PARTS.mkdir(parents=True, exist_ok=True)
            (PARTS / f"tuning_{name}.json").write_text(found + "\n", encoding="utf-8")
    if kept and given.what in ("all", "table"):
        table()


if __name__ == "__main__":
    main()
