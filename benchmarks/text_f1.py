"""Spam and toxicity: F1 of what `auto` keeps, beside n-grams alone on the same test rows.

    python -m benchmarks.text_f1

The sets of benchmarks/text_accuracy.py. No choice looks at the test rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from benchmarks.record import record
from benchmarks.text_accuracy import DATA, SETS, Result, learn, one_pass, points
from numpy.typing import NDArray

from trunkline.data.read import read_examples
from trunkline.desk import Desk
from trunkline.metrics import macro_f1
from trunkline.metrics.classify import f1_of
from trunkline.metrics.weighting import Figure, Weights, answer, given
from trunkline.proof.intervals import estimate, paired
from trunkline.tasks import TASKS
from trunkline.types import Examples, Metric

ASKED = {"sms_spam": ("spam",), "toxicity_en": ("hate_speech", "offensive")}  # labels whose own F1 is shown


def label_f1(target: NDArray[Any], values: NDArray[Any], weights: Weights = None, label: int = 0) -> Figure:
    """F1 of one label, said where it is the likeliest."""
    said, true = (values.argmax(axis=1) == label).astype(np.float64), (target == label).astype(np.float64)
    w = given(weights, len(target))
    return answer(f1_of(w @ (said * true), w @ said, w @ true), weights)


def metrics(test: Examples, labels: tuple[str, ...]) -> dict[str, Metric]:
    found = {"macro-F1": Metric("macro-F1", True, macro_f1, None, "%", lambda t, v, w: macro_f1(t, v, weights=w))}
    for name in labels:
        of = partial(label_f1, label=test.labels.index(name))
        found[f"F1 of {name}"] = Metric(name, True, of, None, "%", partial(_weighted, of))
    return found


def _weighted(of: Callable[..., Figure], target: NDArray[Any], values: NDArray[Any], weights: NDArray[Any]) -> Any:
    return of(target, values, weights=weights)


def rows_of(folder: str, train: Examples, test: Examples, found: Result) -> Iterator[dict[str, Any]]:
    for name, metric in metrics(test, ASKED[folder]).items():
        for method in ("auto", "ngrams"):
            values = found.values[method]
            gain = paired(metric, test.target, values, found.values["ngrams"])
            yield {
                "set": folder,
                "train / test rows": f"{len(train):,} / {len(test):,}",
                "figure": name,
                "method": f"auto: {found.chosen}" if method == "auto" else method,
                "%": points(estimate(metric, test.target, values)),
                "gain over ngrams": points(gain) if method == "auto" else "",
                "seconds": round(found.seconds, 1) if method == "auto" else "",
            }


def main() -> None:
    desk, task = Desk(), TASKS.get("classify")()
    ask = desk.ask()
    rows: list[dict[str, Any]] = []
    for data in SETS:
        if data.folder in ASKED:
            loaded = read_examples(data.spec, task, DATA / data.folder)
            for part in (loaded.train, loaded.test):
                one_pass(data.spec, part, ask)
            rows += rows_of(data.folder, loaded.train, loaded.test, learn(data.spec, loaded.train, loaded.test, ask))
    path = record(
        "text_f1",
        "Spam and toxicity: F1 of auto beside n-grams",
        rows,
        spread="95 % intervals over the test rows, gains paired",
        note="Trunk: e5-small; heads at most 1 MB. A label is said where it is the likeliest, for both. Seconds: the whole ladder, features cached.",
        packages=("numpy", "scipy", "scikit-learn", "openvino"),
    )
    print(path)


if __name__ == "__main__":
    main()
