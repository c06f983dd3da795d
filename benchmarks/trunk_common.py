"""What the trunk benchmarks share: texts, memory, fresh processes. Run as a benchmark, it does nothing."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import spread_of

DATA = Path(os.environ.get("TRUNKLINE_DATA", "/work/shared/data"))
ROOT = Path(__file__).resolve().parent.parent
SETS = (
    "banking77",
    "chnsenticorp_hotel",
    "faq_medical_zh",
    "sst2",
    "ag_news_small",
    "toxicity_en",
    "sms_spam",
    "summarise_en_scitldr",
    "summarise_zh_csl",
    "xquad_en_zh",
    "cmrc2018_dev",
    "translate_en_zh",
    "faq_bank_en",
    "faq_bank_zh_hant",
    "pii_en",
)
_NO_TEXT = {"label", "category", "id", "department", "spans", "attribution", "candidate_doc_ids", "qid"}


def column(name: str, file: str, column: str) -> list[str]:
    csv.field_size_limit(10**9)
    with (DATA / name / file).open(encoding="utf-8", newline="") as lines:
        return [row[column] for row in csv.DictReader(lines)]


def banking() -> list[str]:
    """All 3,080 test rows."""
    return column("banking77", "test.csv", "text")


def hotel(rows: int = 500) -> list[str]:
    return column("chnsenticorp_hotel", "test.csv", "review")[:rows]


def all_texts() -> dict[str, list[str]]:
    """Set -> its distinct texts, every text column of every file."""
    csv.field_size_limit(10**9)
    out = {}
    for name in SETS:
        seen: set[str] = set()
        for path in sorted((DATA / name).glob("*.csv")):
            with path.open(encoding="utf-8", newline="") as lines:
                for row in csv.DictReader(lines):
                    seen |= {v for k, v in row.items() if k not in _NO_TEXT and isinstance(v, str) and len(v) > 3}
        out[name] = sorted(seen)
    return out


def pss() -> float:
    """Proportional memory of this process, MiB."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def in_process(module: str, *arguments: str) -> dict[str, Any]:
    """The JSON that `python -m benchmarks.<module>` prints last for these arguments, in a fresh process."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return dict(json.loads(run.stdout.splitlines()[-1]))


def middle(values: Sequence[float], digits: int = 0) -> str:
    """"median (lowest-highest)"."""
    return spread_of(values, scale=1.0, digits=digits)
