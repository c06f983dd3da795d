"""Three jobs from nothing to a served answer, ours beside today's tools: banking77, Chinese hotel reviews,
German credit.

    python -m benchmarks.three_jobs [--only SECTION ...] [--seconds 5] [--runs 3]

Sections, in order: install, ours, hand, frozen, autogluon, serve, bad; only where named, since they take
minutes each: setfit-banking, setfit-hotel. Each keeps what it found in
trunkline-three-jobs below TRUNKLINE_BENCH_WORK (default /tmp), so one can be run again by itself; the tables are
written from whatever is there. `serve` needs wrk. Peers run in virtual environments of their own, made once.
Rows marked "quoted" were measured in another run, by hand (../shared/PEERS.md, section 6).
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.peers import bad_files, quoted, serving, training, venvs
from benchmarks.peers.jobs import JOBS, WORK, Job
from benchmarks.record import record

SECTIONS: Mapping[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "install": lambda asked: venvs.install(),
    "ours": lambda asked: training.ours(),
    "hand": lambda asked: training.hand(),
    "frozen": lambda asked: training.frozen(),
    "autogluon": lambda asked: training.autogluon(),
    "serve": lambda asked: serving.serve(asked.runs, asked.seconds),
    "bad": lambda asked: bad_files.bad(),
    "setfit-banking": lambda asked: training.setfit("banking"),
    "setfit-hotel": lambda asked: training.setfit("hotel"),
}
SLOW = ("setfit-banking", "setfit-hotel")
LINES = {
    ("ours", "credit"): ["jobs/credit/product.toml"],
    ("ours", "banking"): ["jobs/banking/product.toml"],
    ("ours", "hotel"): ["jobs/hotel/product.toml"],
    ("hand", "credit"): ["peers/hand_table.py", "peers/hand_table_serve.py", "peers/credit_row.py"],
    ("hand", "banking"): ["peers/hand_text.py", "peers/hand_text_serve.py"],
    ("hand", "hotel"): ["peers/hand_text.py", "peers/hand_text_serve.py"],
    ("setfit", "banking"): ["peers/setfit_frozen.py"],
    ("setfit", "hotel"): ["peers/setfit_frozen.py"],
    ("frozen", "banking"): [],
    ("frozen", "hotel"): [],
    ("autogluon", "credit"): ["peers/autogluon_table.py", "peers/autogluon_table_serve.py", "peers/credit_row.py"],
}
NAMES = {
    "ours": "Trunkline",
    "hand": "hand-written scikit-learn + FastAPI",
    "setfit": "SetFit, frozen, our encoder, C=10",
    "frozen": "SetFit's frozen road by hand: scikit-learn's logistic head, C=10, on our trunk's vectors",
    "autogluon": "AutoGluon medium + FastAPI",
}
TARGETS = {
    "job": "target", "tool": "Trunkline", "lines": "12", "install MB": "600", "train s": "60", "again s": "5",
    "accuracy": "the best row's", "first answer s": "1.2", "PSS MB": "350", "calls/s": "1000 (credit)",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=[name for name in SECTIONS if name not in SLOW])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    asked = parser.parse_args()
    (WORK / "found").mkdir(parents=True, exist_ok=True)
    for name in asked.only:
        before = os.getloadavg()[0]
        found = {**SECTIONS[name](asked), "runs": asked.runs, "seconds": asked.seconds}
        found["load"] = f"{before:.1f}-{os.getloadavg()[0]:.1f}"
        (WORK / "found" / f"{name}.json").write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")
        print(name, json.dumps(found, ensure_ascii=False)[:2000], flush=True)
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (WORK / "found").glob("*.json")}
    found["setfit"] = {**found.get("setfit-banking", {}), **found.get("setfit-hotel", {})}
    write(found)


def write(found: Mapping[str, Any]) -> None:
    served = found.get("serve", {"runs": 0, "seconds": 0})
    loads = ", ".join(f"{name} {found[name]['load']}" for name in SECTIONS if name in found)
    print(record(
        "three_jobs", "The same three jobs with today's tools", table(found),
        spread=f"training once each; accuracy and AUROC with 95 % intervals over the test rows; difference = "
        f"Trunkline minus that row, paired on the same test rows; servers: median (lowest-highest) of {served['runs']} "
        f"fresh processes, interleaved, {served['seconds']} s of wrk at 16 connections on the same cores",
        note=NOTE + f" Load average (1 min) before and after each section: {loads}. Peers' versions: "
        f"{found.get('install', {}).get('versions', 'not installed here')}.",
        packages=("scikit-learn", "lightgbm", "numpy", "openvino"),
    ))  # fmt: skip
    if "bad" in found:
        print(record(
            "three_jobs_bad", "Three bad training files", found["bad"]["rows"],
            spread="once each",
            note="'before training': nothing was fitted and no model was left behind. Ours: the error's first lines; "
            "theirs: the last line of the traceback. Quoted in PEERS.md: Ludwig and PyCaret train on a renamed column "
            "without an error, Ludwig trains on one class and exits 0.",
        ))  # fmt: skip


NOTE = (
    "train s = the whole command with imports, test and saving; Trunkline's includes cross-validation, baselines, "
    "learning curve, latency and report, and starts with no cached vector but with the trunk converted (once a machine); "
    "again s = the same command a second time, vectors cached. Accuracy is by the likeliest label for all, also for "
    "German credit, where Trunkline answers by expected cost (a bad credit called good 5, the reverse 1): its column "
    "'cost a row' is what the answers given would cost. German credit's 20 columns stand on one line of product.toml; "
    "one a line they would make it 26 lines. install MB = the virtual environment without pip, in MiB. "
    "first answer = from the start of the process, files in the page cache. SetFit, where it was run, has our encoder's "
    "weights as 32-bit floats in torch; by hand = its default head on our int8 vectors, head alone under 'again s'. It has "
    "no server: the quoted row stands for serving. Quoted rows: measured once by hand in "
    "another run of the same machine kind, install with pip; MLflow, PyCaret and Ludwig were not rerun."
)


def table(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [TARGETS]
    for job in JOBS:
        for tool in NAMES:
            if job.name in found.get(tool, {}):
                rows.append(_measured(found, job, tool))
        rows += quoted.rows(job.name)
    return rows


def _measured(found: Mapping[str, Any], job: Job, tool: str) -> dict[str, Any]:
    files = LINES[tool, job.name]
    return {
        "job": job.name,
        "tool": NAMES[tool],
        "files": len(files) or "",
        "lines": sum(venvs.lines(name) for name in files) or "",
        "install MB": found.get("install", {}).get("mb", {}).get(tool, ""),
        **found[tool][job.name],
        **found.get("serve", {}).get(f"{tool} {job.name}", {}),
        "source": "here",
    }


if __name__ == "__main__":
    main()
