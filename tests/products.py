"""Small real products for end-to-end tests: Chinese and English texts, a table, on the hash trunk."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from pathlib import Path

from trunkline.desk import Desk
from trunkline.features import Features
from trunkline.product import Product

WORDS = {
    "delivery": ["parcel", "courier", "late", "tracking", "包裹", "快递", "送到", "物流"],
    "refund": ["money", "return", "refund", "charged", "退款", "退货", "扣费", "金额"],
    "password": ["login", "password", "account", "reset", "密码", "登录", "账号", "重置"],
}
FILLER = ["please", "my", "the", "today", "again", "请问", "怎么", "我的", "今天", "还是"]


def texts(rows: int, seed: int = 0) -> list[tuple[str, str]]:
    """(text, label), the classes in turn."""
    rng = random.Random(seed)
    labels = list(WORDS)
    made = []
    for i in range(rows):
        label = labels[i % len(labels)]
        words = rng.sample(WORDS[label], 2) + rng.sample(FILLER, 3)
        rng.shuffle(words)
        made.append((" ".join(words) + f" {rng.randrange(10_000)}", label))
    return made


def write_rows(path: Path, header: list[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def text_product(folder: Path, rows: int = 150, spec: str = "", gate: str = "gain.majority.low > 0") -> Product:
    """A product with its rows; `spec` is added to product.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "train.csv", ["text", "label"], list(texts(rows)))
    write_rows(folder / "test.csv", ["text", "label"], list(texts(60, seed=1)))
    (folder / "product.toml").write_text(
        f'name = "{folder.name}"\ntask = "classify"\nlabel = "label"\ninputs = {{ text = "text" }}\n'
        f'trunks = {{ text = "hash" }}\ndata = {{ test = "test.csv" }}\n{spec}\n[gate]\nrules = ["{gate}"]\n',
        encoding="utf-8",
    )
    return Product(folder, Desk(Features(folder.parent / "features")))
