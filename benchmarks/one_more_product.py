"""One more product on texts that are known: its training time as a share of the first one's.

    python -m benchmarks.one_more_product [--rows 1500] [--only first second again]

First: banking77 by category, with no cached vector (the trunk is converted, once a machine). Second: the same
texts by another label, the category's first letter. Again: the first product a second time, for what the cache
alone saves. Target: the second takes at most 5 % of the first. What was measured lies in trunkline-one-more below
TRUNKLINE_BENCH_WORK (default /tmp), so a part can be run again by itself.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.record import record
from benchmarks.serving import COMMAND, DATA, GATE_FAILED

from trunkline.trunks.cache import cache_folder

WORK = Path(os.environ.get("TRUNKLINE_BENCH_WORK", "/tmp")) / "trunkline-one-more"
ALL_ROWS = 10_003
SPEC = """name  = "{name}"
task  = "classify"
label = "label"
data  = {{ train = "train.csv", test = "test.csv" }}

[inputs]
text = "text"
"""
LABELS: Mapping[str, Callable[[str], str]] = {
    "first": lambda category: category,
    "second": lambda category: category[0].upper(),
    "again": lambda category: category,
}
WHAT = {
    "first": "first product: banking77 by category, nothing cached",
    "second": "second product: same texts, by the category's first letter",
    "again": "first product again, vectors cached",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ALL_ROWS, help="training rows, evenly taken")
    parser.add_argument("--only", nargs="*", choices=LABELS, default=list(LABELS))
    asked = parser.parse_args()
    if "first" in asked.only:
        shutil.rmtree(WORK, ignore_errors=True)
    cache = _cache()
    for name in asked.only:
        found = trained(name, asked.rows, cache)
        (WORK / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")
        print(name, found, flush=True)
    rows = table({name: json.loads((WORK / f"{name}.json").read_text()) for name in LABELS if (WORK / f"{name}.json").exists()})
    if asked.rows < ALL_ROWS:
        print(json.dumps(rows, indent=1), "not recorded: fewer rows than the set has")
        return
    print(record("one_more_product", "One more product on known texts", rows,
                 spread="once each, one after the other",
                 note="seconds = the whole `trunkline train` command with imports; data, learn, prove = the report's "
                 "stations: checks; cross-validation and refit of every method tried, encoding included; baselines, "
                 f"learning curve, latency, intervals. {asked.rows} training rows, 3,080 test rows. Target: 5 %.",
                 packages=("numpy", "scikit-learn", "openvino")))  # fmt: skip


def trained(name: str, rows: int, cache: Path) -> dict[str, Any]:
    """Seconds of the command, the stations, and the answers' accuracy."""
    folder = WORK / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "product.toml").write_text(SPEC.format(name=name), encoding="utf-8")
    for part in ("train", "test"):
        _write(name, part, rows if part == "train" else None, folder / f"{part}.csv")
    load = round(os.getloadavg()[0], 1)
    began = time.perf_counter()
    command = [COMMAND, "train", str(folder), "--json"]
    done = subprocess.run(command, env={**os.environ, "TRUNKLINE_CACHE": str(cache)}, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    assert done.returncode in (0, GATE_FAILED), done.stderr
    report = json.loads(done.stdout)["report"]
    return {
        "s": round(seconds, 1),
        "stations": report["seconds"],
        "classes": len(report["data"]["labels"]),
        "accuracy": report["metrics"]["accuracy"],
        "load": load,
    }


def table(found: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    base = found["first"]["s"] if "first" in found else None
    return [
        {
            "what": WHAT[name],
            "classes": one["classes"],
            "s": one["s"],
            "share of the first": f"{one['s'] / base:.0%}" if base else "",
            "target": "5%" if name == "second" else "",
            **{f"{station} s": seconds for station, seconds in one["stations"].items()},
            "accuracy": "{value:.4f} [{low:.4f}, {high:.4f}]".format(**one["accuracy"]),
            "load before": one["load"],
        }
        for name, one in found.items()
    ]


def _write(name: str, part: str, rows: int | None, path: Path) -> None:
    with (DATA / "banking77" / f"{part}.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    step = max(1, len(read) // rows) if rows else 1  # the file is in the order of its classes
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"], lineterminator="\n")
        writer.writeheader()
        writer.writerows({"text": row["text"], "label": LABELS[name](row["category"])} for row in read[::step])


def _cache() -> Path:
    """A cache of its own; the converted trunks are those of this machine."""
    folder = WORK / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    (cache_folder() / "trunks").mkdir(parents=True, exist_ok=True)
    if not (folder / "trunks").exists():
        (folder / "trunks").symlink_to(cache_folder() / "trunks")
    return folder


if __name__ == "__main__":
    main()
