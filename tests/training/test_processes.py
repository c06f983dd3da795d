"""`trunkline train --processes 2`: a product as one process makes it, and the exit code that one gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")

from tests.products import write_rows

from trunkline.product import Product

SPEC = """
name = "shop"
task = "classify"
label = "label"
inputs = { size = "number", shop = "category" }
data = { train = "train.csv", test = "test.csv" }
[method]
name = "table_mlp"
[method.settings]
epochs = 3
batch = 16
folds = 2
dropout = 0.0
[gate]
rules = ["accuracy >= 1.01"]
"""


def product(folder: Path) -> Product:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, n in (("train", 120), ("test", 40)):
        rows = [(f"{size:.3f}", "ab"[at % 2], "yes" if (size > 0) == (at % 2 == 0) else "no") for at, size in enumerate(rng.normal(size=n))]
        write_rows(folder / f"{name}.csv", ["size", "shop", "label"], rows)
    (folder / "product.toml").write_text(SPEC, encoding="utf-8")
    return Product(folder)


def curve(product: Product) -> Any:
    return np.array([[each for each in point[1:] if each is not None] for point in product.bundle().report["epochs"]])


@pytest.mark.slow
def test_a_product_by_two_processes_is_that_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    alone, together = product(tmp_path / "alone"), product(tmp_path / "together")
    alone.train()
    command = [sys.executable, "-m", "trunkline", "train", str(together.folder), "--processes", "2", "--json"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": "src"}, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 3, done.stderr[-3000:]  # the gate can't be passed
    assert json.loads(done.stdout)["version"] == "v1"
    assert curve(together) == pytest.approx(curve(alone), abs=2e-5)
    assert not list((tmp_path / "cache" / "training").glob("*/*/"))
