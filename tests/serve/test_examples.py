from __future__ import annotations

import math
from pathlib import Path

from tests.serve.parts import ToyTable, make_product

from trunkline.serve.examples import Cost, example_row, measure
from trunkline.serve.opening import open_catalog


def test_what_asks_an_engine_never_runs_on_the_event_loop(tmp_path: Path) -> None:
    make_product(tmp_path, "text")
    make_product(tmp_path, "undeclared", trunks=[])  # asks an engine that its manifest doesn't name
    make_product(tmp_path, "table", inputs={"n": "number"}, head=ToyTable("n", [1.0]))
    products = open_catalog(tmp_path).products
    assert measure(products["text"]).seconds == math.inf
    assert measure(products["undeclared"]).seconds == math.inf
    assert 0 < measure(products["table"]).seconds < 0.1


def test_long_cells_count_as_more_rows() -> None:
    cost = Cost(0.001, 100)
    assert cost.of(1, 90) == 0.001
    assert cost.of(5, 100) == 0.005
    assert cost.of(1, 50_000) == 0.5


def test_examples_speak_the_product_s_language(tmp_path: Path) -> None:
    make_product(tmp_path, "english")
    make_product(tmp_path, "chinese", labels=("差评", "好评"))
    products = open_catalog(tmp_path).products
    assert example_row(products["english"])["text"].isascii()
    assert not example_row(products["chinese"])["text"].isascii()
