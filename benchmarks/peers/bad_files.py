"""Three training files that no model should come of: a renamed input, an empty file, one class only."""

from __future__ import annotations

import csv
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers.jobs import JOBS, Job
from benchmarks.peers.training import hand_training
from benchmarks.peers.venvs import PEERS, peer, python
from benchmarks.serving import COMMAND

Rows = list[dict[str, str]]


def _renamed(job: Job, rows: Rows) -> Rows:
    name = job.text or job.numbers[0]
    return [{(f"{k}_x" if k == name else k): v for k, v in row.items()} for row in rows]


def _one_class(job: Job, rows: Rows) -> Rows:
    return [row for row in rows if row[job.label] == rows[0][job.label]]


FAULTS: Mapping[str, Callable[[Job, Rows], Rows]] = {
    "input column renamed": _renamed,
    "empty file": lambda job, rows: [],
    "one class only": _one_class,
}


def bad() -> dict[str, Any]:
    peer("hand", PEERS["hand"])
    return {"rows": [found(job, fault, tool) for job in JOBS for fault in FAULTS for tool in ("ours", "hand")]}


def found(job: Job, fault: str, tool: str) -> dict[str, Any]:
    folder = job.folder(f"{tool}-bad")
    train = folder / "train.csv"
    with train.open(encoding="utf-8", newline="") as file:
        rows = FAULTS[fault](job, list(csv.DictReader(file)))
    with train.open("w", encoding="utf-8", newline="") as file:
        if rows:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    command = [COMMAND, "train", str(folder)] if tool == "ours" else [str(python(tool)), *hand_training(job)]
    began = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    told = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return {
        "job": job.name,
        "train.csv": fault,
        "tool": "Trunkline" if tool == "ours" else "hand-written scikit-learn",
        "exit": done.returncode,
        "s": round(seconds, 1),
        "before training": "yes" if _untrained(folder, done) else "no",
        "said": _said(tool, told, folder),
    }


def _untrained(folder: Path, done: subprocess.CompletedProcess[str]) -> bool:
    """Stopped with an error, nothing fitted ("learn" is our station, "in fit" scikit-learn's frame), nothing left."""
    fitted = "✓ learn" in done.stderr or ", in fit" in done.stderr
    left = any((folder / name).exists() for name in ("bundles/v1", "model.joblib"))
    return done.returncode != 0 and not fitted and not left


def _said(tool: str, told: list[str], folder: Path) -> str:
    lines = [line for line in told if not line.startswith("✓")]
    text = " · ".join(lines) if tool == "ours" else (lines or [""])[-1]
    return text.replace(f"{folder}/", "")[:300]
