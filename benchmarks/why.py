"""Explanations: what one costs beside one answer, and whether its reasons are the real ones.

    python -m benchmarks.why [cost] [banking77] [hotel] [adult] [cats_dogs]

cost: a text of 128 tokens, in English and in Chinese, explained and answered in turn. The sets: on held-out test rows
the drop in the answer's probability without the three heaviest words (columns) and without as many at random. Heads
learn from a part of the training rows; nothing is chosen by these figures. cats_dogs: regions by class activation maps and by occlusion,
of the same sixteen cells and as it is asked for by default. Needs the `heads` extra, cats_dogs the `train` extra.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from benchmarks.record import record, spread_of
from benchmarks.tables import ADULT
from benchmarks.text_accuracy import DATA, SETS
from numpy.typing import NDArray

from trunkline.data.read import read_examples
from trunkline.desk import Desk
from trunkline.engines.threads import workers
from trunkline.explain.faithful import DRAWS, TOP, Removal, removing
from trunkline.explain.subject import Subject
from trunkline.explain.why import Asked, explaining, finding
from trunkline.explain.words import units_of
from trunkline.methods import METHODS
from trunkline.program import one
from trunkline.spec import Spec, parse_spec
from trunkline.tasks import TASKS
from trunkline.trunks import find
from trunkline.types import Ask, Examples, Inputs, Refused

REPEATS = 9
TOKENS = 128
COST_ROWS = 800  # that the head learns from where only its speed is looked at
RESAMPLED = 10_000
LONG = 12  # parts, from which three at random are not a third of the text
TEXTS = {one.folder: one.spec for one in SETS}


@dataclass(frozen=True)
class Case:
    spec: Spec
    folder: str
    methods: tuple[str, ...]
    train: int  # rows
    test: int
    ways: tuple[str, ...] = ("auto", "occlusion")


PICTURES = {"name": "pictures", "task": "classify", "label": "label", "inputs": {"image": "image"}, "data": {"train": "train", "test": "test"}}
CNN = {"name": "cnn", "settings": {"folds": 2, "side": 32, "flip": True}}
WAYS = {"occlusion of 16 cells": Asked(method="occlusion", budget=16)}  # those that have more than a method
CASES = {
    "banking77": Case(TEXTS["banking77"], "banking77", ("linear", "ngrams"), 4_000, 200),
    "hotel": Case(TEXTS["chnsenticorp_hotel"], "chnsenticorp_hotel", ("linear", "ngrams"), 1_500, 100),
    "adult": Case(ADULT, "adult", ("tabular", "boosting"), 5_000, 300),
    "cats_dogs": Case(parse_spec({**PICTURES, "method": CNN}), "cats_dogs", ("linear", "cnn"), 2_000, 150, ("cam", "occlusion of 16 cells", "occlusion")),
}


def learned(case: Case, method: str, desk: Desk) -> tuple[Subject, Examples, Ask]:
    """The product of a method, its test rows, and who answers its calls."""
    task = TASKS.get(case.spec.task)()
    loaded = read_examples(case.spec, task, DATA / case.folder)
    rng = np.random.default_rng(0)
    train = loaded.train.take(rng.permutation(len(loaded.train))[: case.train])
    candidate = METHODS.get(method)().fit(case.spec, train, task.folds(train, case.spec.method.folds, 0), desk.ask())
    decision = task.calibrate(case.spec, train, candidate.out_of_fold)
    return Subject(candidate.head, task, decision, train.labels, case.spec.inputs), loaded.test, desk.ask_uncached(candidate.networks)


def removals(case: Case, subject: Subject, test: Examples, ask: Ask, how: str) -> dict[int, Removal]:
    """By the rows' places, of those that were answered and have reasons."""
    rng = np.random.default_rng(1)
    rows = rng.permutation(len(test))[: case.test]
    found: dict[int, Removal] = {}
    for at in rows.tolist():
        others = [test.inputs[i] for i in rng.integers(len(test), size=DRAWS)]
        answer, reasons = one(finding(subject, test.inputs[at], WAYS.get(how) or Asked(method=how)), ask)
        if answer.status == "ok" and not isinstance(reasons, Refused):
            removed = one(removing(subject, reasons, others, at), ask)
            found |= {} if removed is None else {at: removed}
    return found


def faithful(name: str, method: str, found: Mapping[int, Removal], how: str) -> list[dict[str, Any]]:
    known = {"set": name, "head": method, "reasons by": how}
    tried = list(found.values())
    long = [one for one in tried if one.parts >= LONG]
    whole = {**known, "of rows": "all", "rows": len(tried), **summed(tried)}
    return [whole, *([{**known, "of rows": f"at least {LONG} parts", "rows": len(long), **summed(long)}] if 20 <= len(long) < len(tried) else [])]


def further(one_way: Mapping[int, Removal], other: Mapping[int, Removal]) -> str:
    """How much further, in points, answers fall without the heaviest parts by one way than by the other; the same rows."""
    gains = 100 * np.array([one_way[at].top - other[at].top for at in one_way.keys() & other.keys()])
    rng = np.random.default_rng(0)
    return told(float(gains.mean()), np.array([gains[rng.integers(len(gains), size=len(gains))].mean() for _ in range(RESAMPLED)]))


def summed(found: Sequence[Removal]) -> dict[str, Any]:
    falls = 100 * np.array([(one.top, one.random) for one in found])
    rng = np.random.default_rng(0)
    drawn = np.stack([falls[rng.integers(len(falls), size=len(falls))].mean(axis=0) for _ in range(RESAMPLED)])
    top, chance = falls.mean(axis=0)
    return {
        f"drop without the top {TOP}, points": told(top, drawn[:, 0]),
        "without as many at random": told(chance, drawn[:, 1]),
        "difference": told(top - chance, drawn[:, 0] - drawn[:, 1]),
        "ratio (reach: 3)": told(top / chance, drawn[:, 0] / np.maximum(drawn[:, 1], 1e-9)),
        "median parts of a row": int(statistics.median(one.parts for one in found)),
    }


def told(value: float, drawn: NDArray[np.float64]) -> str:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def text_of(tokens: int, texts: Sequence[str], cost: Callable[[str], int]) -> str:
    """Texts joined until they are computed as so many tokens (padded to the next eight)."""
    whole = ""
    for sign in " ".join(texts):
        whole += sign
        if cost(whole) >= tokens:
            return whole.strip()
    raise AssertionError("too few texts")


def cost(desk: Desk) -> list[dict[str, Any]]:
    engine = desk.features.engine(find("e5-small"))
    found = []
    for name in ("banking77", "hotel"):
        subject, test, _ = learned(replace(CASES[name], train=COST_ROWS), "linear", desk)
        column = next(iter(subject.kinds))
        text = text_of(TOKENS, [row[column] for row in test.inputs[:100]], engine.cost)
        row = {column: text}
        seconds = timed(subject, row, desk.ask_uncached())
        ratios = [why / answer for answer, why in zip(seconds["answer"], seconds["why"], strict=True)]
        explained = one(explaining(subject, row, Asked()), desk.ask_uncached())[1]
        assert not hasattr(explained, "code")
        found.append({
            "text": f"{name}, {TOKENS} tokens, {len(units_of(text))} words", "answer ms": spread_of(seconds["answer"], digits=1), "why ms": spread_of(seconds["why"], digits=1),
            "why / answer (under 30)": spread_of(ratios, 1.0, 1), "rows computed": getattr(explained, "rows", 0),
        })  # fmt: skip
        print(json.dumps(found[-1], ensure_ascii=False), flush=True)
    return found


def timed(subject: Subject, row: Inputs, ask: Ask) -> Mapping[str, list[float]]:
    """Answers and explanations in turn, each uncached; the first of both is not counted."""
    found: dict[str, list[float]] = {"answer": [], "why": []}
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        one(subject.run([row]), ask)
        middle = time.perf_counter()
        one(explaining(subject, row, Asked()), ask)
        found["answer"].append(middle - began)
        found["why"].append(time.perf_counter() - middle)
    return {name: seconds[1:] for name, seconds in found.items()}


def measured(name: str, desk: Desk) -> list[dict[str, Any]]:
    case, rows = CASES[name], list[dict[str, Any]]()
    for method in case.methods:
        subject, test, ask = learned(case, method, desk)
        ways = ("auto",) if method == "linear" and "cam" not in case.ways else case.ways
        found = {how: removals(case, subject, test, ask, how) for how in ways}
        for how in ways:
            rows += faithful(name, method, found[how], how)
            if how == "cam":
                rows[-1]["further than by occlusion of the same cells"] = further(found["cam"], found["occlusion of 16 cells"])
            print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
    return rows


def main(names: Sequence[str]) -> None:
    desk = Desk()
    if "cost" in names:
        record(
            "why_cost", "What an explanation costs", cost(desk), spread=f"median (lowest to highest) of {REPEATS} repeats in turn, in one process",
            note=f"e5-small, linear head, {workers()} threads; the explanation's rows go through the engine together. The ratio is taken repeat by repeat.",
            packages=("openvino",),
        )  # fmt: skip
    rows = [row for name in names if name in CASES for row in measured(name, desk)]
    pictures = [row for row in rows if row["set"] == "cats_dogs"]
    if pictures:
        record(
            "why_pictures", "Regions of a picture: class activation maps beside occlusion", pictures,
            spread=f"95 % intervals by drawing the rows again {RESAMPLED:,} times, both drops of a row together",
            note="Test pictures that were answered; a left-out region has the picture's mean colour. Occlusion of 16 cells has the same parts as the"
            " maps; as it is asked for by default it cuts the heaviest ones finer, so that less of the picture is removed.",
        )  # fmt: skip
    rows = [row for row in rows if row["set"] != "cats_dogs"]
    if rows:
        record(
            "why_faithful", "Are the reasons the real ones?", rows,
            spread=f"95 % intervals by drawing the rows again {RESAMPLED:,} times, both drops of a row together",
            note=f"Test rows that were answered and have more than {TOP} parts. Left-out words are cut from the text; a left-out column holds"
            f" the cell of another test row ({DRAWS} others). At random: as many words or columns, mean of {DRAWS} draws a row.",
        )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:] or ["cost", *CASES])
