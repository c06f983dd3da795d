"""Rows like German credit, and a scikit-learn pipeline learned elsewhere and exported as ONNX."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.products import write_rows

from trunkline.desk import Desk
from trunkline.features import Features
from trunkline.product import Product

NUMBERS = ("age", "amount", "月数")
NAMES = ("housing", "purpose", "支票账户")
VALUES = (("own", "rent", "free"), ("car", "radio/television", "教育"), ("无", "< 0 DM", ">= 200 DM"))
SPEC = """
name = "{name}"
task = "classify"
label = "risk"
data = {{ test = "test.csv" }}
[inputs]
age = "number"
amount = "number"
"月数" = "number"
housing = "category"
purpose = "category"
"支票账户" = "category"
[gate]
rules = ["accuracy.low > 0.6", "gain.majority.low > 0"]
[method]
name = "onnx"
[method.settings]
output = "probabilities"
{settings}
"""
INPUTS = f"""
[method.settings.inputs.numbers]
columns = {list(NUMBERS)}
[method.settings.inputs.names]
columns = {list(NAMES)}
"""


def rows(n: int, seed: int) -> tuple[list[list[Any]], list[str]]:
    """(cells, label): n rows, some of them with a missing name."""
    rng = np.random.default_rng(seed)
    numbers = np.column_stack([rng.integers(19, 75, n), rng.integers(250, 9000, n), rng.integers(4, 60, n)]).astype(float)
    picks = rng.integers(0, 3, (n, len(VALUES)))
    score = 0.05 * (numbers[:, 0] - 40) - numbers[:, 1] / 3000 + (picks[:, 2] == 2) * 2 + rng.logistic(size=n) * 0.5
    labels = ["good" if s > np.median(score) else "bad" for s in score]
    names = [[values[p] for values, p in zip(VALUES, row, strict=True)] for row in picks.tolist()]
    return [[*a, *b] for a, b in zip(numbers.tolist(), names, strict=True)], labels


@cache
def pipeline() -> tuple[Any, bytes]:
    """(scikit-learn pipeline, the same as ONNX), learned from rows that no product has."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    parts = [("n", StandardScaler(), [0, 1, 2]), ("c", OneHotEncoder(handle_unknown="ignore"), [3, 4, 5])]
    made = Pipeline([("columns", ColumnTransformer(parts)), ("model", LogisticRegression(max_iter=500))])
    cells, labels = rows(400, seed=9)
    made.fit(np.array(cells, object), labels)
    types = [("numbers", FloatTensorType([None, 3])), ("names", StringTensorType([None, 3]))]
    network = convert_sklearn(made, initial_types=types, options={"zipmap": False}, target_opset=17)
    return made, network.SerializeToString()


def probabilities(cells: list[list[Any]]) -> NDArray[np.float64]:
    """(n, 2) of bad and good, as scikit-learn itself says."""
    return np.asarray(pipeline()[0].predict_proba(np.array(cells, object)))


def as_rows(cells: list[list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip((*NUMBERS, *NAMES), row, strict=True)) for row in cells]


def credit_product(folder: Path, settings: str = INPUTS, network: bytes | None = None) -> Product:
    folder.mkdir(parents=True)
    for name, n, seed in (("train", 300, 1), ("test", 200, 2)):
        cells, labels = rows(n, seed)
        write_rows(folder / f"{name}.csv", [*NUMBERS, *NAMES, "risk"], [[*map(str, c), y] for c, y in zip(cells, labels, strict=True)])
    (folder / "product.toml").write_text(SPEC.format(name=folder.name, settings=settings), encoding="utf-8")
    (folder / "model.onnx").write_bytes(network or pipeline()[1])
    return Product(folder, Desk(Features(folder.parent / "features")))
