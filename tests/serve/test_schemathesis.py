"""schemathesis asks the real server over its whole OpenAPI document: every operation, right and wrong calls."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.products import text_product, write_rows
from tests.serve.live import live
from tests.serve.parts import make_product

from trunkline.desk import Desk
from trunkline.features import Features
from trunkline.product import Product
from trunkline.serve.app import build
from trunkline.serve.live import LiveCatalog
from trunkline.store.callers import add_key
from trunkline.store.database import Store, open_store

HERE = Path(__file__).parent / "schemathesis"
ROOT = Path(__file__).parents[2]
EXAMPLES = "15"  # an operation and phase
ALWAYS = ["--seed", "1"] if os.environ.get("CI") else []


def price(folder: Path) -> None:
    """A table with a column of every kind, and a number to tell."""
    folder.mkdir(parents=True)
    rows = [[str(n % 17), "abc"[n % 3], "yes" if n % 2 else "no", f"2024-0{n % 9 + 1}-11", str(n % 17 * 2.5)] for n in range(160)]
    for name, part in (("train.csv", rows[:120]), ("test.csv", rows[120:])):
        write_rows(folder / name, ["size", "shop", "paid", "day", "price"], part)
    (folder / "product.toml").write_text(
        'name = "price"\ntask = "regress"\nlabel = "price"\ndata = { test = "test.csv" }\n'
        'inputs = { size = "number", shop = "category", paid = "bool", day = "date" }\n[gate]\nrules = ["mae.high < 9"]\n',
        encoding="utf-8",
    )
    Product(folder, Desk(Features(folder.parent / "features"))).train()


@pytest.fixture
def products(tmp_path: Path) -> Path:
    root = tmp_path / "products"
    text_product(root / "mail").train()
    price(root / "price")
    make_product(root, "spare")
    make_product(root, "broken", passed=False)
    return root


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


def test_every_operation_by_its_own_schema(products: Path, tmp_path: Path) -> None:
    with live(build(LiveCatalog(products))) as address:
        asked(address, tmp_path, "--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES)


def test_with_keys_and_kept_answers(products: Path, store: Store, tmp_path: Path) -> None:
    key, _ = add_key(store, "tester", "acme", ["admin"], datetime.now(UTC))
    with live(build(LiveCatalog(products), store=store)) as address:
        asked(address, tmp_path, "--phases", "examples,coverage", "--header", f"Authorization: Bearer {key}",
              "--exclude-checks", "positive_data_acceptance")  # fmt: skip # a drawn key comes again with another body


def asked(address: str, tmp_path: Path, *phases: str) -> None:
    command = ["-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run", f"http://{address}/openapi.json"]
    options = [*phases, "--continue-on-failure", "--no-color", *ALWAYS]
    done = subprocess.run(
        [sys.executable, *command, *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.serve.schemathesis.hooks"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
