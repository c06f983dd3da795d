"""SetFit's frozen road with our trunk's encoder, beside `auto`, on the same rows: all of them and few.

    python -m benchmarks.setfit_frozen [set ...]

SetFit runs in an environment of its own (torch), on the trunk's weights as 32-bit floats: peers/e5_folder.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from benchmarks.peers.e5_folder import made
from benchmarks.peers.jobs import WORK
from benchmarks.peers.venvs import PEERS, peer, python, versions
from benchmarks.record import record
from benchmarks.text_accuracy import (
    ACCURACY,
    DATA,
    DRAWS,
    SETS,
    Result,
    Set,
    learn,
    one_pass,
    points,
    sample,
    spread,
)
from numpy.typing import NDArray

from trunkline.data.read import read_examples
from trunkline.desk import Desk
from trunkline.metrics import accuracy
from trunkline.proof.intervals import estimate, paired
from trunkline.tasks import TASKS
from trunkline.types import Ask, Examples, Floats

NAMES = ("banking77", "chnsenticorp_hotel")
SETTINGS = ("1", "10", "100")  # C of its logistic head; 1 is the default
Told: TypeAlias = Mapping[str, Mapping[str, Any]]  # C -> {"s": seconds, "said": label numbers}


def setfit(data: Set, train: Examples, test: Examples, draws: Sequence[NDArray[Any]]) -> tuple[list[Told], float]:
    """Its answers on the test rows after each draw of the training rows; seconds of encoding all rows."""
    folder = WORK / "setfit-heads"
    folder.mkdir(parents=True, exist_ok=True)
    (column,) = data.texts
    texts = {part: [row[column] for row in rows.inputs] for part, rows in (("train", train), ("test", test))}
    asked = {**texts, "known": train.target.tolist(), "draws": [draw.tolist() for draw in draws], "C": SETTINGS}
    (folder / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    script = Path(__file__).resolve().parent / "peers" / "setfit_heads.py"
    command = [str(python("setfit")), str(script), str(made()), str(folder / "asked.json"), str(folder / "told.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads((folder / "told.json").read_text(encoding="utf-8"))
    return told["draws"], told["encode s"]


def sizes(data: Set, train: Examples) -> Iterator[tuple[str, list[NDArray[Any]]]]:
    """(name, draws of row numbers): all rows once, then each few-shot size DRAWS times."""
    yield f"{len(train)}", [np.arange(len(train))]
    for few, a_class in ((data.a_class, True), (data.in_all, False)):
        for size in few:
            name = f"{size} a class" if a_class else f"{size} in all"
            yield name, [sample(train, size, a_class, seed) for seed in range(DRAWS)]


def compare(data: Set, ask: Ask) -> Iterator[dict[str, Any]]:
    loaded = read_examples(data.spec, TASKS.get("classify")(), DATA / data.folder)
    train, test = loaded.train, loaded.test
    for part in (train, test):
        one_pass(data.spec, part, ask)
    groups = list(sizes(data, train))
    told, encoding = setfit(data, train, test, [draw for _, draws in groups for draw in draws])
    for name, draws in groups:
        ours = [learn(data.spec, train.take(draw), test, ask) for draw in draws]
        theirs, told = told[: len(draws)], told[len(draws) :]
        yield from rows(data, name, test, ours, theirs, encoding)


def rows(
    data: Set, size: str, test: Examples, ours: Sequence[Result], theirs: Sequence[Told], encoding: float
) -> Iterator[dict[str, Any]]:
    auto = [found.values["auto"] for found in ours]
    methods: list[tuple[str, list[Floats], list[float]]] = [
        ("auto", auto, [found.seconds for found in ours]),
        ("linear (the frozen trunk, ours)", [found.values["linear"] for found in ours], []),
    ]
    for c in SETTINGS:
        said: list[Floats] = [np.eye(len(test.labels))[told[c]["said"]] for told in theirs]
        methods.append((f"SetFit, frozen, C={c}", said, [told[c]["s"] for told in theirs]))
    for name, values, seconds in methods:
        yield {
            "set": data.folder,
            "train rows": size,
            "method": name,
            "accuracy %": _accuracy(test, values),
            "auto minus it": "" if name == "auto" else _gain(test, auto, values),
            "head s": round(float(np.mean(seconds)), 1) if seconds else "",
            "encoding s": round(encoding) if name.startswith("SetFit") else "",
        }


def _accuracy(test: Examples, values: Sequence[Floats]) -> str:
    if len(values) == 1:
        return points(estimate(ACCURACY, test.target, values[0]))
    return spread(100 * np.array([accuracy(test.target, v) for v in values]))


def _gain(test: Examples, auto: Sequence[Floats], values: Sequence[Floats]) -> str:
    if len(values) == 1:
        return points(paired(ACCURACY, test.target, auto[0], values[0]))
    return spread(100 * np.array([accuracy(test.target, a) - accuracy(test.target, v) for a, v in zip(auto, values, strict=True)]))


def main() -> None:
    peer("setfit", PEERS["setfit"])
    ask, found = Desk().ask(), []
    for data in SETS:
        if data.folder not in (sys.argv[1:] or NAMES):
            continue
        for row in compare(data, ask):
            print(*row.values(), sep=" | ", flush=True)
            found.append(row)
    if sys.argv[1:]:
        return  # a part of the table is for looking at
    print(record(
        "setfit_frozen",
        "SetFit's frozen road with the same encoder",
        found,
        spread=f"all rows: 95 % intervals over the test rows, differences paired; few rows: mean ± standard deviation over "
        f"{DRAWS} draws, the same rows for both",
        note=(
            f"{', '.join(versions('setfit'))}; the encoder is e5-small's weights from the same package as the trunk, 32-bit floats, "
            "'query: ' in front, 128 tokens. Each text is encoded once and each head learned on its vectors, which is what SetFit's "
            "fit and predict do without training the body. C=1 is its default; the best of the three is chosen on the test rows, in "
            "SetFit's favour. encoding s: all training and test texts, torch on one thread. head s of auto: the whole ladder, cached."
        ),
        packages=("numpy", "scikit-learn", "openvino"),
    ))  # fmt: skip


if __name__ == "__main__":
    main()
