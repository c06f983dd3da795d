"""One table of what can be done with a text: n-grams, frozen trunk, networks from scratch, e5-small adapted; hotel and SST-2.

python -m benchmarks.texts [networks] [heads] [table]; `table` joins these with what `benchmarks.adapted learn` found.
Needs the `train` extra. Data: ../shared/data (measuring only).
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.networks import DATA, PACKAGES, trained
from benchmarks.record import RESULTS, record

PARTS = RESULTS / "parts"
SETS = {"hotel": ("chnsenticorp_hotel", "review"), "sst2": ("sst2", "text")}
KINDS: dict[str, dict[str, dict[str, Any]]] = {
    "networks": {
        "lstm": {"folds": 2, "epochs": 6, "rate": 0.002},
        "cnn1d": {"folds": 2, "epochs": 8, "rate": 0.002},
        "transformer": {"folds": 2, "epochs": 8, "rate": 0.001},
    },
    "heads": {"ngrams": {}, "linear": {}, "fused": {}},
}
SAID = {
    "ngrams": "n-grams", "linear": "trunk + head", "fused": "trunk + n-grams", "lstm": "LSTM from scratch", "cnn1d": "1-D CNN from scratch",
    "transformer": "transformer from scratch", "lora": "LoRA", "finetune": "full fine-tuning",
}  # fmt: skip


def measured(kind: str) -> list[dict[str, Any]]:
    """A whole product each: out-of-fold, the last head or network, proof, bundle."""
    rows = []
    for name in SETS:
        for method, settings in KINDS[kind].items():
            with tempfile.TemporaryDirectory() as place:
                rows.append({"data": name, "method": method, **product(Path(place), name, method, settings)})
                print(rows[-1], flush=True)
    return rows


def product(place: Path, name: str, method: str, settings: dict[str, Any]) -> dict[str, Any]:
    folder, column = SETS[name]
    for part in ("train", "test"):
        with (DATA / folder / f"{part}.csv").open(encoding="utf-8", newline="") as file:
            kept = [(row[column], row["label"]) for row in csv.DictReader(file)]
        with (place / f"{part}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *kept])
    told = "\n".join(f"{key} = {value}" for key, value in settings.items())
    trunk = "e5-small" if method in ("linear", "fused") else "none"
    (place / "product.toml").write_text(
        f'name = "text"\ntask = "classify"\nlabel = "label"\ninputs = {{ text = "text" }}\ntrunks = {{ text = "{trunk}" }}\n'
        f'data = {{ test = "test.csv" }}\n[method]\nname = "{method}"\n[method.settings]\n{told}\n',
        encoding="utf-8",
    )
    return trained(place)


def adapted(name: str, method: str) -> dict[str, Any]:
    told = json.loads((PARTS / f"{name}-{method}.json").read_text(encoding="utf-8"))
    value, interval = told["accuracy or entity F1"].rstrip(")").split(" (")
    low, high = interval.split("-")
    return {
        "data": name, "method": method, "accuracy": f"{value}%", "95 %": f"{low}%-{high}%", "seconds": round(60 * told["minutes to learn"]),
        "MB": told["bundle MB"], "ms a row": "",
    }  # fmt: skip


def table() -> None:
    rows = [row for kind in KINDS for row in json.loads((PARTS / f"texts_{kind}.json").read_text(encoding="utf-8"))]
    rows += [adapted(name, method) for name in SETS for method in ("lora", "finetune")]
    rows.sort(key=lambda row: (list(SETS).index(row["data"]), list(SAID).index(row["method"])))
    record(
        "texts", "What can be done with a text: one table", [{**row, "method": SAID[row["method"]]} for row in rows],
        spread="one run each, seed 0; 95 % intervals over the published test rows (6,212 and 6,920 rows learned from, 1,553 and 1,821 tested)",
        note="Seconds: of the clock, on two cores with other work beside; a whole product (folds, last network, proof, bundle), of LoRA and full fine-tuning the one network alone. "
        "MB: a product's own part. ms a row: median of single rows in this process, features computed anew. What LoRA and full fine-tuning cost a call is told under *Ten products adapted*.",
        packages=PACKAGES,
    )  # fmt: skip


def main(asked: list[str]) -> None:
    for kind in asked or [*KINDS, "table"]:
        if kind == "table":
            table()
        else:
            found = measured(kind)
            (PARTS / f"texts_{kind}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
