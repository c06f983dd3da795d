"""`trunkline encode --on ray`: the same features as the plain command's, each row once, also where a process is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray.data", reason="ray[data] is not installed")

from click.testing import CliRunner
from tests.on_ray.processes import command, of
from tests.products import text_product, write_rows

from trunkline.cli import main
from trunkline.desk import Desk
from trunkline.errors import DataError, TrunklineError
from trunkline.features import Features
from trunkline.line import encode as encoding
from trunkline.line.encode import Encoded, encode
from trunkline.on_ray.encoding import Encoder
from trunkline.product import Product

ROWS = 9 * encoding.BLOCK + 10


@pytest.fixture
def product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Product:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    return Product(text_product(tmp_path / "shop", 60).folder)


def order(product: Product, parts: int, data: str = "") -> dict[str, Any]:
    mark = Features().folder / "mark"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return {"folder": str(product.folder), "data": data, "mark": str(mark), "parts": parts}


def test_parts_are_the_whole(product: Product) -> None:
    encoder = Encoder(order(product, 3))
    said = [Encoded(**json.loads(encoder({"part": part})["said"])) for part in (1, 2, 3)]
    assert sum(said, Encoded(0, 0, 0, 0)) == Encoded(120, 0, 0, 120)
    assert encode(product.spec, product.folder, Desk()).new == 0


def test_errors_come_back_whole(product: Product) -> None:
    said = json.loads(Encoder(order(product, 1, str(product.folder / "nowhere.csv")))({"part": 1})["said"])
    assert isinstance(TrunklineError.from_dict(said), DataError)
    assert "nowhere.csv" in said["where"]


def test_a_cache_that_is_not_shared_is_said(product: Product) -> None:
    told = order(product, 1)
    Path(told["mark"]).unlink()
    said = json.loads(Encoder(told)({"part": 1})["said"])
    assert "don't share the cache folder" in said["what"]
    assert "TRUNKLINE_CACHE" in said["try"]


def test_ray_that_is_not_there_is_said(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.data", None)
    done = CliRunner().invoke(main, ["encode", str(product.folder), "--on", "ray"])
    assert done.exit_code == 2
    assert "pip install 'trunkline[ray]'" in done.stderr


def test_a_part_is_no_cluster_s(product: Product) -> None:
    done = CliRunner().invoke(main, ["encode", str(product.folder), "--on", "ray", "--part", "1/2"])
    assert done.exit_code == 2
    assert "give either --part" in done.stderr


# ---- the real thing -------------------------------------------------------------------------------


def segments(folder: Path) -> list[Path]:
    return list((folder / "features").glob("*/*.rows"))


def features(folder: Path) -> Any:
    """Key -> row, of all segments of a cache; a key that is there twice has to have the same bits."""
    found: dict[bytes, bytes] = {}
    for file in segments(folder):
        data = file.read_bytes()
        dim, count = int.from_bytes(data[8:12], "little"), int.from_bytes(data[16:24], "little")
        for at in range(count):
            key = data[24 + 16 * at : 40 + 16 * at]
            start = 24 + 16 * count + 4 * dim * at
            row = data[start : start + 4 * dim]
            assert found.setdefault(key, row) == row
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kill", [False, True])
def test_a_cluster_encodes_what_one_process_does(product: Product, tmp_path: Path, kill: bool) -> None:
    write_rows(tmp_path / "rows.csv", ["text"], [(f"parcel number {at}" if at else " ",) for at in range(ROWS)])
    words = ["encode", str(product.folder), "--data", str(tmp_path / "rows.csv")]
    with command(words, tmp_path / "ray", tmp_path / "log") as child:
        if kill:
            _kill(child, tmp_path / "ray")
        said = child.communicate(timeout=500)[0]
    assert child.returncode == 0, (tmp_path / "log").read_text()[-3000:]
    found = json.loads(said)
    assert (found["rows"], found["refused"], found["known"] + found["new"]) == (ROWS, 1, ROWS - 1)
    assert kill or found["known"] == 0
    encode(product.spec, product.folder, Desk(), tmp_path / "rows.csv")
    assert features(tmp_path / "ray") == features(tmp_path / "cache")


def _kill(child: subprocess.Popen[str], cache: Path) -> None:
    until = time.monotonic() + 300
    while time.monotonic() < until and child.poll() is None:
        if segments(cache) and (found := of("MapWorker", str(cache))):
            os.kill(found[0], signal.SIGKILL)
            return
        time.sleep(0.01)
    raise AssertionError(f"nothing was encoded: {child.poll()}")
