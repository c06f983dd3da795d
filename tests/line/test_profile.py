"""`--profile`: which station is the slowest."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.products import write_rows

from trunkline.desk import Desk
from trunkline.features import Features
from trunkline.line.profile import STATIONS, sentence, stations
from trunkline.product import Product
from trunkline.terminal import Progress, Stopwatch


class Told(Progress):
    def __init__(self) -> None:
        self.stations: dict[str, str] = {}

    def station(self, name: str, text: str) -> None:
        self.stations[name] = text


def test_the_slowest_is_named(tmp_path: Path) -> None:
    (tmp_path / "all-rows.trace.json").write_text("{}")
    found = stations({"data": 0.25, "encode": 3.0, "learn": 1.5, "prove": 0.5, "pack": 0.125}, tmp_path)
    assert found["slowest"] == "encode"
    assert json.loads((tmp_path / "stations.json").read_text()) == found
    assert sentence(found) == f"slowest is encode, 3.0 of 5.4 s (read 0.2, learn 1.5, prove 0.5, explain 0.0, pack 0.1); traces: {tmp_path}"


def test_encoding_counts_apart() -> None:
    encoded = 0.0
    watch = Stopwatch(lambda: encoded)
    time.sleep(0.06)
    encoded = 0.04
    watch.lap("learn")
    encoded = 100.0  # more than has passed: several threads
    watch.lap("prove")
    assert watch.seconds["encode"] == pytest.approx(0.04, abs=0.005) or watch.seconds["encode"] >= 0.04
    assert watch.seconds["learn"] >= 0.019
    assert watch.seconds["prove"] == pytest.approx(0, abs=0.002)


def test_a_product_without_a_network_has_the_stations(tmp_path: Path) -> None:
    folder = tmp_path / "table"
    folder.mkdir()
    write_rows(folder / "rows.csv", ["size", "label"], [(str(at), "big" if at > 60 else "small") for at in range(120)])
    (folder / "product.toml").write_text(
        'name = "table"\ntask = "classify"\nlabel = "label"\ninputs = { size = "number" }\ndata = { train = "rows.csv" }\n'
    )
    told = Told()
    Product(folder, Desk(Features(tmp_path / "features"))).train(told, profile=True)
    found = json.loads((folder / ".trunkline" / "profile" / "stations.json").read_text())
    assert set(found["seconds"]) == set(STATIONS.values())
    assert found["seconds"]["learn"] > 0
    assert found["traces"] == []
    assert told.stations["profile"].startswith(f"slowest is {found['slowest']}, ")
