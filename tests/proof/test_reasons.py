"""Reasons in the report: whose, whether true, and what of them leaves the house."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.products import WORDS, text_product, write_rows

from trunkline.bundle import Bundle
from trunkline.cli import main
from trunkline.desk import Desk
from trunkline.features import Features
from trunkline.product import Product
from trunkline.proof import render_html
from trunkline.proof.report import Report, without_rows


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return text_product(tmp_path_factory.mktemp("text") / "mail").train()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Of eight columns one decides, so that a few rows are wrong."""
    folder = tmp_path_factory.mktemp("table") / "loans"
    folder.mkdir()
    rng = random.Random(0)
    incomes = [rng.randrange(50) for _ in range(360)]
    rows = [[str(n), *(rng.choice("abcde") for _ in range(7)), "yes" if n + rng.randrange(20) > 30 else "no"] for n in incomes]
    header = ["income", *(f"c{k}" for k in range(3, 10)), "paid"]
    write_rows(folder / "train.csv", header, rows[:280])
    write_rows(folder / "test.csv", header, rows[280:])
    kinds = "\n".join(f'{name} = "{"number" if name == "income" else "category"}"' for name in header[:-1])
    (folder / "product.toml").write_text(f'name = "loans"\ntask = "classify"\nlabel = "paid"\n[inputs]\n{kinds}\n[data]\ntest = "test.csv"\n', encoding="utf-8")
    return Product(folder, Desk(Features(folder.parent / "features"))).train()


def faithful(bundle: Bundle) -> dict[str, Any]:
    found: dict[str, Any] = bundle.report["why"]["faithful"]
    return found


def test_words_that_count_are_removed_with_effect(text: Bundle) -> None:
    found = faithful(text)
    assert found["ratio"]["low"] > 2
    assert found["difference"]["low"] > 0.3
    assert found["top"]["n"] > 40
    known = {word for words in WORDS.values() for word in words}
    assert {one["name"] for one in text.report["why"]["overall"][:8]} <= known


def test_columns_that_count_too(table: Bundle) -> None:
    overall = table.report["why"]["overall"]
    assert overall[0]["name"] == "income"
    assert len(overall) == 8
    assert faithful(table)["difference"]["low"] > 0
    mistakes = table.report["mistakes"]
    assert mistakes
    assert {reason["kind"] for reason in mistakes[0]["why"]} == {"column"}
    assert not any(mistake["why"] for mistake in mistakes[6:])
    assert {near["label"] for near in mistakes[0]["near"]} <= {"yes", "no"}
    assert len(mistakes[0]["near"]) == 2


def test_a_tree_imitates_the_product(table: Bundle, text: Bundle) -> None:
    tree = table.report["why"]["imitation"]
    assert "income" in tree["rules"][0]["question"]
    assert tree["fidelity"]["low"] > tree["commonest"]
    assert "says the same on" in (table.folder / "report.html").read_text(encoding="utf-8")
    assert text.report["why"]["imitation"]["rules"]
    assert without_rows(text.report)["why"]["imitation"] is None
    assert without_rows(table.report)["why"]["imitation"] == tree


def test_pages_and_cards_tell_them(text: Bundle, table: Bundle) -> None:
    page, card = ((table.folder / name).read_text(encoding="utf-8") for name in ("report.html", "card.md"))
    assert 'id="why"' in page
    assert "What it looks at: income" in page
    assert "because of" in page
    assert "Most of all: income" in card
    assert "times as far as without 3 at random" in card
    chinese = render_html(text.report, "zh")
    assert "随机 3 个" in chinese
    assert "parcel" not in (text.folder / "card.md").read_text(encoding="utf-8")


def test_words_of_customers_stay_at_home(text: Bundle, table: Bundle) -> None:
    assert without_rows(text.report)["why"]["overall"] == []
    assert without_rows(text.report)["why"]["faithful"] == faithful(text)
    assert len(without_rows(table.report)["why"]["overall"]) == 8
    assert "parcel" not in render_html(text.report, "en", with_rows=False)
    old = {name: value for name, value in text.report.items() if name != "why"}
    assert Report.from_dict(old).why is None
    assert without_rows(old)["why"] is None


def test_rows_of_another_file_have_reasons_too(table: Bundle, tmp_path: Path) -> None:
    product = Product(table.folder.parent.parent, Desk(Features(tmp_path / "features")))
    report = product.evaluate(product.folder / "test.csv")
    told = [(mistake["row"], mistake["why"], mistake["near"]) for mistake in report["mistakes"]]
    assert told == [(mistake["row"], mistake["why"], mistake["near"]) for mistake in table.report["mistakes"]]
    assert report["why"] == table.report["why"]
    done = CliRunner().invoke(main, ["evaluate", str(product.folder), "--data", str(product.folder / "test.csv")])
    worst = report["mistakes"][0]
    pushed = [reason["name"] for reason in worst["why"] if reason["weight"] > 0]
    (line,) = [line for line in done.output.splitlines() if line.startswith(f"  row {worst['row']}: ")]
    assert line.endswith(f"because of {' · '.join(pushed[:3])}")


def test_other_rows_have_no_reasons_where_the_owner_wants_none(tmp_path: Path) -> None:
    product = text_product(tmp_path / "mail")
    product.train()
    assert product.evaluate(tmp_path / "mail" / "test.csv")["why"]["faithful"]["ratio"]["low"] > 1
    toml = tmp_path / "mail" / "product.toml"
    toml.write_text("explain = false\n" + toml.read_text(encoding="utf-8"), encoding="utf-8")
    again = Product(product.folder, product.desk)
    assert again.evaluate(tmp_path / "mail" / "test.csv")["why"] is None


def test_seconds_of_reasons_are_a_station_of_their_own(text: Bundle) -> None:
    assert text.report["seconds"]["explain"] > 0
    assert "pack" not in text.report["seconds"]


def test_an_owner_who_wants_none_has_none(tmp_path: Path) -> None:
    product = text_product(tmp_path / "mail")
    toml = tmp_path / "mail" / "product.toml"
    toml.write_text("explain = false\n" + toml.read_text(encoding="utf-8"), encoding="utf-8")
    bundle = Product(product.folder, product.desk).train()
    assert bundle.report["why"] is None
    assert 'id="why"' not in (bundle.folder / "report.html").read_text(encoding="utf-8")
