"""Text: what `auto` reaches beside n-grams alone and the frozen trunk alone, on the same test rows.

    python -m benchmarks.text_accuracy [set ...]

Sets lie in TRUNKLINE_DATA (default ../shared/data). No choice looks at the test rows. One climb of the
ladder gives all methods of a table row; features are cached before, so seconds are those of learning.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.record import record

from trunkline.data.read import read_examples
from trunkline.desk import Desk
from trunkline.methods import METHODS
from trunkline.methods.dense_rows import size_of
from trunkline.methods.fused import Fused
from trunkline.methods.ladder import Climbed, climb
from trunkline.metrics import accuracy, accuracy_rows
from trunkline.program import one
from trunkline.proof.intervals import estimate, paired
from trunkline.spec import Spec, parse_spec
from trunkline.tasks import TASKS
from trunkline.types import Ask, Candidate, Estimate, Examples, Floats, Metric

DATA = Path(os.environ.get("TRUNKLINE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
DRAWS = 5
ACCURACY = Metric("accuracy", True, accuracy, accuracy_rows, "%")
SHOWN = ("ngrams", "linear", "fused", "auto")


@dataclass(frozen=True)
class Set:
    """A data set as a product, the few-shot sizes to try (rows a class, or rows in all), and the fused
    accuracy to reach within 0.3 points."""

    folder: str
    label: str
    texts: tuple[str, ...]
    a_class: tuple[int, ...] = ()
    in_all: tuple[int, ...] = ()
    wanted: float | None = None

    @property
    def spec(self) -> Spec:
        data = {"train": "train.csv", "test": "test.csv"}
        inputs = dict.fromkeys(self.texts, "text")
        return parse_spec({"name": self.folder, "task": "classify", "label": self.label, "inputs": inputs, "data": data})


SETS = (
    Set("banking77", "category", ("text",), a_class=(8,), wanted=93.1),
    Set("chnsenticorp_hotel", "label", ("review",), in_all=(32, 100), wanted=91.5),
    Set("faq_medical_zh", "department", ("title", "question"), in_all=(100,), wanted=97.0),
    Set("toxicity_en", "label", ("text",), in_all=(100,)),
    # from here on first run after all choices of the methods were made
    Set("sst2", "label", ("text",), in_all=(100,)),
    Set("ag_news_small", "label", ("title", "text"), in_all=(100,)),
    Set("sms_spam", "label", ("text",), in_all=(100,)),
)


@dataclass(frozen=True)
class Result:
    """Test probabilities (n, classes) of each method, and what `auto` chose."""

    values: dict[str, Floats]
    candidates: dict[str, Candidate]
    chosen: str
    seconds: float


def learn(spec: Spec, train: Examples, test: Examples, ask: Ask) -> Result:
    task = TASKS.get("classify")()
    started = time.perf_counter()
    climbed = climb(spec, task, train, ask)
    seconds = time.perf_counter() - started
    candidates = {**all_of(spec, climbed, train, ask), "auto": climbed.candidate}
    values = {name: one(c.head.run(test.inputs), ask).values for name, c in candidates.items()}
    return Result(values, candidates, climbed.method, seconds)


def all_of(spec: Spec, climbed: Climbed, train: Examples, ask: Ask) -> dict[str, Candidate]:
    """The methods of the table, those that the ladder didn't reach learned now."""
    found = dict(climbed.tried)
    for name in ("ngrams", "linear"):
        found.setdefault(name, METHODS.get(name)().fit(spec, train, climbed.folds, ask))
    if "fused" not in found:
        found["fused"] = Fused().join(spec, train, climbed.folds, ask, found)
    return found


def full(data: Set, train: Examples, test: Examples, ask: Ask) -> Iterator[dict[str, Any]]:
    found = learn(data.spec, train, test, ask)
    of = partial(paired, ACCURACY, test.target)
    for name in SHOWN:
        value = estimate(ACCURACY, test.target, found.values[name])
        yield {
            "set": data.folder,
            "train rows": len(train),
            "method": f"auto: {found.chosen}" if name == "auto" else name,
            "accuracy %": points(value),
            "wanted": f"{data.wanted} - 0.3" if name == "auto" and data.wanted else "",
            "gain over ngrams": "" if name == "ngrams" else points(of(found.values[name], found.values["ngrams"])),
            "gain over linear (frozen)": "" if name == "linear" else points(of(found.values[name], found.values["linear"])),
            "head bytes": size_of(found.candidates[name].head),
            "seconds": round(found.seconds, 1) if name == "auto" else "",
        }


def few(data: Set, train: Examples, test: Examples, ask: Ask, size: int, a_class: bool) -> Iterator[dict[str, Any]]:
    draws = [
        learn(data.spec, train.take(sample(train, size, a_class, seed)), test, ask) for seed in range(DRAWS)
    ]
    shares = {name: 100 * np.array([accuracy(test.target, d.values[name]) for d in draws]) for name in SHOWN}
    for name in SHOWN:
        gains = {other: shares[name] - shares[other] for other in ("ngrams", "linear")}
        yield {
            "set": data.folder,
            "train rows": f"{size} a class" if a_class else f"{size} in all",
            "method": "auto: " + ", ".join(sorted({d.chosen for d in draws})) if name == "auto" else name,
            "accuracy %": spread(shares[name]),
            "wanted": "",
            "gain over ngrams": "" if name == "ngrams" else spread(gains["ngrams"]),
            "gain over linear (frozen)": "" if name == "linear" else spread(gains["linear"]),
            "head bytes": max(size_of(d.candidates[name].head) for d in draws),
            "seconds": round(float(np.mean([d.seconds for d in draws])), 1) if name == "auto" else "",
        }


def sample(train: Examples, size: int, a_class: bool, seed: int) -> Any:
    """Row numbers: `size` of each class, or `size` in all with at least two of each class."""
    place = np.random.default_rng(seed).permutation(len(train))
    ranks = [place[train.target[place] == c] for c in range(len(train.labels))]
    if a_class:
        return np.sort(np.concatenate([rows[:size] for rows in ranks]))
    sure = np.concatenate([rows[:2] for rows in ranks])
    rest = place[~np.isin(place, sure)]
    return np.sort(np.concatenate([sure, rest[: size - len(sure)]]))


def points(found: Estimate) -> str:
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def spread(values: Any) -> str:
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"


def measure(names: Sequence[str]) -> list[dict[str, Any]]:
    desk, task = Desk(), TASKS.get("classify")()
    ask, rows = desk.ask(), []
    for data in SETS:
        if names and data.folder not in names:
            continue
        loaded = read_examples(data.spec, task, DATA / data.folder)
        for part in (loaded.train, loaded.test):
            METHODS.get("linear")  # imports before the clock runs
            one_pass(data.spec, part, ask)
        found = [*full(data, loaded.train, loaded.test, ask)]
        for sizes, a_class in ((data.a_class, True), (data.in_all, False)):
            for size in sizes:
                found += few(data, loaded.train, loaded.test, ask, size, a_class)
        for row in found:
            print(*(f"{value!s:<{width}}" for value, width in zip(row.values(), (19, 11, 22, 18, 11, 18, 18, 8, 6), strict=True)), flush=True)
        rows += found
    return rows


def one_pass(spec: Spec, part: Examples, ask: Ask) -> None:
    """Every text through the trunk once, so that the cache holds it."""
    from trunkline.methods.dense_rows import read_rows

    read_rows(spec, part, ask)


def main() -> None:
    rows = measure(sys.argv[1:])
    if sys.argv[1:]:
        return  # a part of the table is for looking at
    path = record(
        "text_accuracy",
        "Text: accuracy of auto beside n-grams and the frozen trunk",
        rows,
        spread=f"full sets: 95 % intervals over the test rows, gains paired; few rows: mean ± standard deviation over {DRAWS} draws",
        note=(
            "Trunk: e5-small; heads at most 1 MB. `linear` is the frozen trunk with logistic regression, `ngrams` has no trunk, "
            "`fused` joins both, `auto` is what the ladder keeps by out-of-fold gains. Seconds: the whole ladder, features cached. "
            "`wanted`: the accuracy to reach, with the 0.3 points allowed. sst2, ag_news_small and sms_spam were first run when the "
            "methods were finished; the others were at hand while they were built (choices by out-of-fold figures)."
        ),
        packages=("numpy", "scipy", "scikit-learn", "openvino"),
    )
    print(path)


if __name__ == "__main__":
    main()
