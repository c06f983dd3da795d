"""`trunkline encode`: every row once, whoever encodes it, however often it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from tests.products import text_product, write_rows

from trunkline.cli import main
from trunkline.desk import Desk
from trunkline.errors import DataError, SpecError, TrunklineError
from trunkline.features import MAX_BYTES, Features
from trunkline.line import encode as encoding
from trunkline.line.encode import Encoded, encode
from trunkline.product import Product
from trunkline.spec import parse_spec

BLOCK = 64
ROWS = 5 * BLOCK + 10


@pytest.fixture
def product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Product:
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(encoding, "BLOCK", BLOCK)
    text_product(tmp_path / "shop", 60)
    write_rows(tmp_path / "rows.csv", ["text"], [(f"parcel number {at}" if at else " ",) for at in range(ROWS)])
    return Product(tmp_path / "shop")


def run(product: Product, data: Path | None, part: tuple[int, int] = (1, 1), desk: Desk | None = None) -> Encoded:
    return encode(product.spec, product.folder, desk or Desk(), data, part)


def test_parts_are_the_whole_and_nothing_is_computed_twice(product: Product, tmp_path: Path) -> None:
    data = tmp_path / "rows.csv"
    first, second = run(product, data, (1, 2)), run(product, data, (2, 2))
    assert first + second == Encoded(ROWS, 1, 0, ROWS - 1)
    assert (first.rows, second.rows) == (3 * BLOCK, 2 * BLOCK + 10)
    assert run(product, data) == Encoded(ROWS, 1, ROWS - 1, 0)


def test_a_training_finds_its_rows_there(product: Product) -> None:
    assert run(product, None).new > 0
    desk = Desk()
    Product(product.folder, desk).train()
    assert desk.features.counts.misses == 0


def test_a_process_that_is_killed_goes_on_where_it_was(product: Product, tmp_path: Path) -> None:
    slow = (
        "import sys, time\nfrom trunkline.line import encode as encoding\nfrom trunkline.features import Features\nfrom trunkline.cli import main\n"
        f"encoding.BLOCK = {BLOCK}\n"
        "rows = Features.rows\n"
        "def late(*given):\n    found = rows(*given)\n    time.sleep(0.5)\n    return found\n"
        "Features.rows = late\nmain(sys.argv[1:])"
    )
    command = [sys.executable, "-c", slow, "encode", str(product.folder), "--data", str(tmp_path / "rows.csv")]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": "src"}, cwd=Path(__file__).parents[2]) as child:
        end = time.monotonic() + 120
        while time.monotonic() < end and child.poll() is None and len(list((tmp_path / "cache" / "features").glob("*/*.rows"))) < 2:
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    found = run(product, tmp_path / "rows.csv")
    assert found.known >= 2 * BLOCK - 1
    assert found.known + found.new == ROWS - 1
    assert found.new > 0


def test_by_processes_and_what_they_say(product: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "src"))
    command = ["encode", str(product.folder), "--data", str(tmp_path / "rows.csv"), "--processes", "2", "--json"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"rows": ROWS, "refused": 1, "known": 0, "new": ROWS - 1}
    missing = CliRunner().invoke(main, ["encode", str(product.folder), "--data", "nowhere.csv", "--processes", "2"])
    assert missing.exit_code == 2
    assert "this file does not exist" in missing.stderr
    assert "where: nowhere.csv" in missing.stderr


def test_more_than_the_cache_holds_is_refused(product: Product, tmp_path: Path) -> None:
    desk = Desk(Features(max_bytes=1_000))
    with pytest.raises(DataError, match="the cache doesn't hold") as error:
        run(product, tmp_path / "rows.csv", desk=desk)
    assert "TRUNKLINE_CACHE_GB" in error.value.hint


@pytest.mark.parametrize(("said", "wanted"), [("", MAX_BYTES), ("20", 20_000_000_000), ("0.5", 500_000_000), ("lots", MAX_BYTES), ("-1", MAX_BYTES)])
def test_how_much_the_cache_may_hold(monkeypatch: pytest.MonkeyPatch, said: str, wanted: int) -> None:
    monkeypatch.setenv("TRUNKLINE_CACHE_GB", said)
    assert Features().max_bytes == wanted


@pytest.mark.parametrize("more", [{"inputs": {"size": "number"}}, {"task": "tag", "inputs": {"text": "text"}, "label": "tags"}])
def test_a_product_without_features_is_refused(tmp_path: Path, more: dict[str, Any]) -> None:
    spec = parse_spec({"name": "x", "task": "classify", "label": "label", **more})
    with pytest.raises(SpecError, match="no features to keep"):
        encode(spec, tmp_path, Desk())


def test_an_unknown_trunk_is_told_with_its_key(product: Product) -> None:
    spec = msgspec.structs.replace(product.spec, trunks={"text": "e5-smal"})
    with pytest.raises(TrunklineError, match="'e5-smal'") as unknown:
        Desk().cards(spec)
    assert unknown.value.where == "key 'trunks.text'"


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "a/b", "1/2/3"])
def test_what_is_no_part_is_said(part: str) -> None:
    done = CliRunner().invoke(main, ["encode", "x", "--part", part])
    assert done.exit_code == 2
    assert "is no part" in done.stderr
