"""Products whose search takes a second, and what a search left."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
from tests.products import text_product

from trunkline.product import Product
from trunkline.proof.tuned import Tuned

QUICK = """
[tune]
trials = 8
ranges.linear.penalty = { low = 0.01, high = 10.0, log = true }
ranges.knn.neighbours = { low = 1, high = 40, log = true }
"""


def product(folder: Path, tune: str = QUICK, rows: int = 90) -> Product:
    return text_product(folder, rows, tune)


def again(made: Product) -> Product:
    """As another process would open it."""
    return Product(made.folder, made.desk)


def told(tuned: Tuned) -> Any:
    """What two searches of the same have in common: everything but seconds."""
    plain = msgspec.to_builtins(tuned)
    for trial in plain["trials"]:
        del trial["seconds"]
    del plain["seconds"]
    return plain


def ended(folder: Path) -> int:
    """Trials that are on disk."""
    file = folder / ".trunkline" / "tune" / "study.db"
    if not file.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=5) as database:
            return int(database.execute("SELECT count(*) FROM trials").fetchone()[0])
    except sqlite3.OperationalError:  # its tables are just being made
        return 0
