"""Train each job with each tool and judge its answers on the test rows."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.peers.e5_folder import made
from benchmarks.peers.jobs import JOBS, WORK, Job, Scores, judged
from benchmarks.peers.venvs import PEERS, peer, python
from benchmarks.serving import COMMAND, DATA, GATE_FAILED
from sklearn.linear_model import LogisticRegression

from trunkline.desk import Desk
from trunkline.features import Features
from trunkline.trunks.cache import cache_folder
from trunkline.types import Call

HERE = Path(__file__).resolve().parent
SETFIT_C = "10"  # as in PEERS.md; its default, 1, is ten points worse on these vectors


def ours() -> dict[str, Any]:
    """Each job with no cached vector, then once more."""
    found: dict[str, Any] = {}
    for job in JOBS:
        folder = job.folder("ours")
        fresh = _fresh_cache(job)
        first, report, _ = _train(folder, fresh)
        again, _, bundle = _train(folder, fresh)
        scores = _answers(folder, fresh)
        found[job.name] = {
            "train s": round(first, 1),
            "again s": round(again, 1),
            **judged(job, "ours", scores),
            "head KB": round((bundle / "head.safetensors").stat().st_size / 1000),
            "saved MB": round(_size(bundle), 2),
            "stations": report["seconds"],
            "method": "+".join(rung["method"] for rung in report["rungs"] if rung["kept"])[-40:],
        }  # fmt: skip
    return found


def hand() -> dict[str, Any]:
    peer("hand", PEERS["hand"])
    found = {}
    for job in JOBS:
        folder = job.folder("hand")
        seconds = _run(folder, "hand", *hand_training(job))
        scores = _peer_scores(folder, "hand", job)
        row = {"train s": round(seconds, 1), **judged(job, "hand", scores)}
        found[job.name] = {**row, "saved MB": round(_size(folder / "model.joblib"), 3)}
    return found


def hand_training(job: Job) -> tuple[str, ...]:
    if job.text is None:
        return (str(HERE / "hand_table.py"),)
    return (str(HERE / "hand_text.py"), job.text, job.label, "char" if job.name == "hotel" else "word")


def setfit(name: str) -> dict[str, Any]:
    """Its library on our encoder's weights, as 32-bit floats in torch: minutes a job."""
    peer("setfit", PEERS["setfit"])
    encoder = made()
    job = next(job for job in JOBS if job.name == name)
    assert job.text is not None
    folder = job.folder("setfit")
    seconds = _run(folder, "setfit", str(HERE / "setfit_frozen.py"), str(encoder), job.text, job.label, SETFIT_C)
    answers = json.loads((folder / "answers.json").read_text())
    row = judged(job, "setfit", Scores.of_answers(answers))
    return {name: {"train s": round(seconds, 1), **row, "saved MB": round(_size(folder / "model"))}}


def frozen() -> dict[str, Any]:
    """SetFit's frozen road by hand: its default head (scikit-learn's) on the vectors of our trunk, from the
    cache that `ours` filled."""
    found = {}
    for job in JOBS:
        if job.text is None:
            continue
        caches = sorted((WORK / "caches").glob(f"{job.name}-*"))
        ask = Desk(Features(caches[-1] / "features")).ask()
        (train, known), (test, _) = (_texts(job, part) for part in ("train", "test"))
        learn, asked = (np.asarray(ask([Call("trunk:e5-small", texts)])[0]) for texts in (train, test))
        began = time.perf_counter()
        head = LogisticRegression(C=float(SETFIT_C), max_iter=1000).fit(learn, known)
        seconds = time.perf_counter() - began
        scores = Scores([str(label) for label in head.classes_], head.predict_proba(asked))
        found[job.name] = {"again s": round(seconds, 1), **judged(job, "frozen", scores)}
    return found


def _texts(job: Job, part: str) -> tuple[list[str], list[str]]:
    with (DATA / job.data / f"{part}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row[job.text or ""] for row in rows], [row[job.label] for row in rows]


def autogluon() -> dict[str, Any]:
    peer("autogluon", PEERS["autogluon"])
    job = next(job for job in JOBS if job.text is None)
    folder = job.folder("autogluon")
    seconds = _run(folder, "autogluon", str(HERE / "autogluon_table.py"))
    row = judged(job, "autogluon", _peer_scores(folder, "autogluon", job))
    return {job.name: {"train s": round(seconds, 1), **row, "saved MB": round(_size(folder / "model"))}}


def _fresh_cache(job: Job) -> Path:
    """A cache without vectors; the converted trunks are those of this machine."""
    folder = WORK / "caches" / f"{job.name}-{time.time_ns()}"
    folder.mkdir(parents=True)
    (cache_folder() / "trunks").mkdir(parents=True, exist_ok=True)
    (folder / "trunks").symlink_to(cache_folder() / "trunks")
    return folder


def _train(folder: Path, cache: Path) -> tuple[float, dict[str, Any], Path]:
    """(seconds of the command, report, bundle folder)."""
    began = time.perf_counter()
    done = subprocess.run([COMMAND, "train", str(folder), "--json"], env=_env(cache), capture_output=True, text=True)
    seconds = time.perf_counter() - began
    assert done.returncode in (0, GATE_FAILED), done.stderr
    told = json.loads(done.stdout)
    return seconds, told["report"], Path(told["bundle"])


def _answers(folder: Path, cache: Path) -> Scores:
    command = [COMMAND, "predict", str(folder), "--file", str(folder / "test.csv"), "--json"]
    answers = json.loads(subprocess.run(command, env=_env(cache), check=True, capture_output=True).stdout)["answers"]
    labels = sorted({label for answer in answers for label in answer["scores"]})
    scores = np.array([[answer["scores"].get(label, 0.0) for label in labels] for answer in answers])
    likeliest = [labels[at] for at in scores.argmax(axis=1)]  # stands in where the product abstained
    said = [answer["label"] or label for answer, label in zip(answers, likeliest, strict=True)]
    return Scores(labels, scores, said)


def _peer_scores(folder: Path, tool: str, job: Job) -> Scores:
    command = [str(python(tool)), str(HERE / "answers.py"), job.text or "-", job.label]
    told = json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout)
    return Scores(told["labels"], np.array(told["scores"]))


def _run(folder: Path, tool: str, *command: str) -> float:
    """Seconds of a script in the tool's environment and the job's folder."""
    began = time.perf_counter()
    _check([str(python(tool)), *command], folder)
    return time.perf_counter() - began


def _check(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def _env(cache: Path) -> dict[str, str]:
    return {**os.environ, "TRUNKLINE_CACHE": str(cache)}


def _size(path: Path) -> float:
    """10^6 bytes of a file or a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6
