"""Tables: ours against plain LightGBM and plain logistic regression, on the same test rows.

    python -m benchmarks.tables [set ...]

TRUNKLINE_AUTOGLUON names the python of a venv with autogluon.tabular[lightgbm]; without it AutoGluon is left out.

Sets lie in TRUNKLINE_DATA (default ../shared/data). "Plain" is what a founder would write: library
defaults, one-hot and standardised for the logistic regression, native categories for LightGBM.
"chosen" is what `auto` keeps: every choice is made out of fold, none looks at the test rows.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.record import record
from numpy.typing import NDArray

from trunkline.columns import ColumnReader
from trunkline.data.read import read_examples
from trunkline.desk import Desk
from trunkline.methods import METHODS
from trunkline.methods.dense_rows import size_of
from trunkline.methods.ladder import climb
from trunkline.metrics import accuracy, accuracy_rows, auroc, cost_matrix, cost_rows, expected_cost, log_loss
from trunkline.program import one
from trunkline.proof.intervals import estimate, paired
from trunkline.spec import Spec, load_spec, parse_spec
from trunkline.tasks import TASKS
from trunkline.terminal import SILENT
from trunkline.types import Call, Estimate, Examples, Head, Metric, Outputs

DATA = Path(os.environ.get("TRUNKLINE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
JOBS = Path(__file__).resolve().parent / "jobs"
ROWS_TIMED = 1000
AUTOGLUON_S = 300  # its limit


def _inputs(numbers: str, categories: str) -> dict[str, str]:
    return {**dict.fromkeys(numbers.split(), "number"), **dict.fromkeys(categories.split(), "category")}


ADULT = parse_spec({
    "name": "adult", "task": "classify", "label": "income", "data": {"train": "train.csv", "test": "test.csv"},
    "inputs": _inputs(
        "age fnlwgt education_num capital_gain capital_loss hours_per_week",
        "workclass education marital_status occupation relationship race sex native_country",
    ),
})  # fmt: skip
DEFAULT = parse_spec({
    "name": "credit_default", "task": "classify", "label": "default_next_month",
    "data": {"train": "train.csv", "test": "test.csv"},
    "inputs": _inputs(
        "LIMIT_BAL AGE PAY_0 PAY_2 PAY_3 PAY_4 PAY_5 PAY_6 BILL_AMT1 BILL_AMT2 BILL_AMT3 BILL_AMT4 BILL_AMT5"
        " BILL_AMT6 PAY_AMT1 PAY_AMT2 PAY_AMT3 PAY_AMT4 PAY_AMT5 PAY_AMT6",
        "SEX EDUCATION MARRIAGE",
    ),
})  # fmt: skip
SETS: Mapping[str, Callable[[], Spec]] = {
    "german_credit": lambda: load_spec(JOBS / "credit"),
    "adult": lambda: ADULT,
    "credit_default": lambda: DEFAULT,
}


@dataclass(frozen=True)
class Result:
    """One way's test probabilities (n, 2), seconds to learn, microseconds a lone row, head bytes, and its
    log loss out of fold."""

    values: NDArray[Any]
    seconds: float
    row_us: float = 0.0  # 0 = not measured
    size: int = 0
    loss: float | None = None


def no_engine(calls: Sequence[Call]) -> Outputs:
    raise AssertionError("a table asks for no engine")


def row_us(answer: Callable[[int], object], rows: int) -> float:
    """Median microseconds of one row by itself."""
    seconds = []
    for i in range(ROWS_TIMED):
        start = time.perf_counter()
        answer(i % rows)
        seconds.append(time.perf_counter() - start)
    return 1e6 * float(np.median(seconds))


def ours(spec: Spec, train: Examples, test: Examples) -> dict[str, Result]:
    """Each rung of the ladder, and the one it kept."""
    start = time.perf_counter()
    climbed = climb(spec, TASKS.get("classify")(), train, no_engine)
    whole = time.perf_counter() - start
    seconds = {rung.method: rung.seconds for rung in climbed.rungs}
    seconds["blend"] += seconds["tabular"] + seconds["boosting"]  # the ladder had learned its parts already
    results = {}
    for name, candidate in climbed.tried.items():
        head = candidate.head
        lone = row_us(partial(_answer, head, test), len(test))
        values = one(head.run(test.inputs), no_engine).values
        loss = float(log_loss(train.target, candidate.out_of_fold.values))
        results[name] = Result(values, seconds[name], lone, size_of(head), loss)
    kept = results[climbed.method]
    return {**results, f"chosen: {climbed.method}": replace(kept, seconds=whole)}


def _answer(head: Head, test: Examples, i: int) -> object:
    return one(head.run(test.inputs[i : i + 1]), no_engine)


def network(spec: Spec, train: Examples, test: Examples) -> Result:
    """`table_mlp`, whose head asks its own network."""
    start = time.perf_counter()
    folds = TASKS.get("classify")().folds(train, spec.method.folds, spec.seed)
    candidate = METHODS.get("table_mlp")().fit(spec, train, folds, no_engine)
    seconds = time.perf_counter() - start
    ask = Desk().ask(SILENT, candidate.networks)
    values = one(candidate.head.run(test.inputs), ask).values
    lone = row_us(lambda i: one(candidate.head.run(test.inputs[i : i + 1]), ask), len(test))
    size = size_of(candidate.head) + sum(net.size_bytes for net in candidate.networks.values())
    loss = float(log_loss(train.target, candidate.out_of_fold.values))
    return Result(values, seconds, lone, size, loss)


def autogluon(name: str, spec: Spec, train: Examples) -> tuple[str, Result] | None:
    """(what it is, its probabilities), learned in a process of its own; None where it isn't installed."""
    python = os.environ.get("TRUNKLINE_AUTOGLUON")
    if python is None:
        return None
    script = Path(__file__).resolve().parent / "peers" / "autogluon_scores.py"
    with tempfile.TemporaryDirectory() as out:
        files = [str(DATA / name / part) for part in ("train.csv", "test.csv")]
        words = [*files, spec.label, ",".join(spec.inputs), str(AUTOGLUON_S), out]
        subprocess.run([python, str(script), *words], check=True, timeout=10 * AUTOGLUON_S)
        told = json.loads((Path(out) / "run.json").read_text())
        with (Path(out) / "scores.csv").open(newline="") as file:
            scores = list(csv.DictReader(file))
    values = np.array([[float(row[label]) for label in train.labels] for row in scores])
    return f"AutoGluon {told['version']} medium", Result(values, told["seconds"])


def plain_lightgbm(spec: Spec, train: Examples, test: Examples) -> Result:
    from lightgbm import LGBMClassifier

    reader = ColumnReader.fit(spec.inputs, train.inputs)
    learn, ask = _codes(reader, train), _codes(reader, test)
    start = time.perf_counter()
    model = LGBMClassifier(n_jobs=1, verbose=-1).fit(
        learn, train.target, categorical_feature=reader.categorical
    )
    seconds = time.perf_counter() - start
    lone = row_us(lambda i: model.booster_.predict(ask[i : i + 1], num_threads=1), len(test))
    positive = np.asarray(model.booster_.predict(ask))
    return Result(np.column_stack([1 - positive, positive]), seconds, lone)


def _codes(reader: ColumnReader, examples: Examples) -> NDArray[np.float64]:
    """Category codes for LightGBM, unseen ones missing; numbers as they are."""
    table = reader.read(examples.inputs)
    codes = table[:, reader.categorical]
    table[:, reader.categorical] = np.where(codes < 0, np.nan, codes)
    return table


def plain_logistic(spec: Spec, train: Examples, test: Examples) -> Result:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    names = list(spec.inputs)
    numbers = [i for i, name in enumerate(names) if spec.inputs[name] != "category"]
    others = [i for i in range(len(names)) if i not in numbers]
    learn, ask = (
        np.array([["?" if row[name] is None else row[name] for name in names] for row in e.inputs], object)
        for e in (train, test)
    )
    model = make_pipeline(
        ColumnTransformer([
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            ("others", OneHotEncoder(handle_unknown="ignore"), others),
        ]),
        LogisticRegression(max_iter=2000),
    )  # fmt: skip
    start = time.perf_counter()
    model.fit(learn, train.target)
    seconds = time.perf_counter() - start
    return Result(
        model.predict_proba(ask), seconds, row_us(lambda i: model.predict_proba(ask[i : i + 1]), len(test))
    )


def metrics(spec: Spec, labels: Sequence[str]) -> dict[str, Metric]:
    found = {
        "AUROC": Metric("auroc", True, auroc),
        "accuracy": Metric("accuracy", True, accuracy, accuracy_rows),
    }
    if spec.proof.costs:
        costs = cost_matrix(labels, spec.proof.costs)
        found["cost a row"] = Metric(
            "cost", False, partial(expected_cost, costs=costs), partial(cost_rows, costs=costs)
        )
        found["cost by likeliest"] = Metric(
            "argmax cost", False, partial(_argmax_cost, costs), partial(_argmax_costs, costs)
        )
    return found


def _argmax_costs(costs: NDArray[Any], target: NDArray[Any], values: NDArray[Any]) -> NDArray[Any]:
    """(n,) what the likeliest label costs: what one pays who doesn't know the prices."""
    return np.asarray(costs[target, values.argmax(axis=1)], np.float64)


def _argmax_cost(costs: NDArray[Any], target: NDArray[Any], values: NDArray[Any]) -> float:
    return float(_argmax_costs(costs, target, values).mean())


def shown(found: Estimate) -> str:
    return f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"


def run_set(name: str, spec: Spec) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        for part in ("train.csv", "test.csv"):
            shutil.copyfile(DATA / name / part, Path(folder) / part)
        loaded = read_examples(spec, TASKS.get("classify")(), Path(folder))
    train, test = loaded.train, loaded.test
    rivals: dict[str, Result] = {
        "plain LightGBM": plain_lightgbm(spec, train, test),
        "plain logistic": plain_logistic(spec, train, test),
    }
    beside = autogluon(name, spec, train)
    results = {**ours(spec, train, test), "table_mlp": network(spec, train, test), **rivals, **(dict([beside]) if beside else {})}
    rows = []
    for way, result in results.items():
        row: dict[str, Any] = {"set": name, "rows": f"{len(train)}/{len(test)}", "way": way}
        row["out-of-fold log loss"] = "" if result.loss is None else round(result.loss, 4)
        for metric_name, metric in metrics(spec, train.labels).items():
            row[metric_name] = shown(estimate(metric, test.target, result.values))
        for rival, other in rivals.items():
            for metric_name, metric in metrics(spec, train.labels).items():
                if way != rival and metric_name != "cost by likeliest":
                    difference = paired(metric, test.target, result.values, other.values)
                    row[f"{metric_name} - {rival}"] = shown(difference)
        row |= {
            "train s": round(result.seconds, 2),
            "lone row us": round(result.row_us) or "",
            "head KB": round(result.size / 1000) or "",
        }
        rows.append(row)
    return rows


def main(names: Sequence[str]) -> None:
    rows = [row for name in names or SETS for row in run_set(name, SETS[name]())]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    rows = [{column: row.get(column, "") for column in columns} for row in rows]
    for row in rows:
        print({column: value for column, value in row.items() if value != ""})
    if not names:
        record(
            "tables",
            "Tables",
            rows,
            spread="one training run; 95 % intervals over the test rows, differences paired on them; "
            f"lone row = median of {ROWS_TIMED} calls in process",
            note="chosen = what method `auto` keeps, by out-of-fold figures alone (train s counts the whole "
            "ladder, that of blend its two parts). "
            "table_mlp = our network for tables, small preset, not in the ladder. "
            f"AutoGluon: medium_quality, at most {AUTOGLUON_S} s, one core, in a venv of its own with LightGBM and scikit-learn alone. "
            "Plain = library defaults. Cost: a bad credit called good costs 5, a good one refused 1; "
            "'cost by likeliest' is what argmax pays.",
            packages=("lightgbm", "scikit-learn", "numpy"),
        )


if __name__ == "__main__":
    main(sys.argv[1:])
