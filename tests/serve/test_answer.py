from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.parts import ToyEngine, ToyHead, ToyTable, ToyTwice, make_product

from trunkline.program import one
from trunkline.serve.answer import plain, predict
from trunkline.serve.catalog import Catalog
from trunkline.serve.match import read_as
from trunkline.serve.matrix import answering_matrix
from trunkline.serve.opening import open_catalog
from trunkline.serve.wire import WrongRequestError
from trunkline.types import Answer, Refused


def catalog_of(root: Path, **products: dict[str, Any]) -> Catalog:
    for name, made in products.items():
        make_product(root, name, **made)
    return open_catalog(root)


def test_rows_are_answered_in_order(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, support={})
    rows = [{"text": "aaaa"}, {"text": "bb"}, {"text": "cc", "more": 1}, {"text": "我的卡 ccc"}]
    answers = predict(catalog.products["support"], rows, catalog.ask())
    assert [(a["id"], a["status"], a["label"]) for a in answers] == [
        (0, "ok", "fee"),
        (1, "ok", "card"),
        (2, "ok", "other"),
        (3, "ok", "other"),
    ]


def test_a_bad_row_is_an_answer(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, support={})
    rows: list[Any] = [{"text": "aaaa"}, {"txt": "a"}, {"text": None}, {"text": 3}, "aaaa", {"text": "bb"}]
    answers = predict(catalog.products["support"], rows, catalog.ask())
    assert [a["status"] for a in answers] == ["ok", "error", "error", "error", "error", "ok"]
    assert [a.get("error") for a in answers[1:5]] == ["missing_column", "missing", "unreadable", "not_a_row"]
    assert "it has 'txt'" in answers[1]["message"]
    assert (answers[0]["label"], answers[5]["label"]) == ("fee", "card")


def test_a_column_no_row_has_is_a_mistake_of_the_call(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, support={})
    with pytest.raises(WrongRequestError, match="no column 'text'") as caught:
        predict(catalog.products["support"], [{"txt": "a"}, {"txt": "b"}], catalog.ask())
    assert caught.value.found == "'txt'"


def test_no_rows_no_answers(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, support={})
    assert predict(catalog.products["support"], [], catalog.ask()) == []


@pytest.mark.parametrize(
    ("given_id", "wanted"), [("r-1", "r-1"), (7, 7), (2**70, str(2**70)), ([1], "[1]"), (None, None)]
)
def test_ids_come_back(tmp_path: Path, given_id: Any, wanted: Any) -> None:
    catalog = catalog_of(tmp_path, support={"spec": {"data": {"id": "key"}}})
    rows = [{"text": "a", "key": given_id}, {"text": "a"}]
    assert [a["id"] for a in predict(catalog.products["support"], rows, catalog.ask())] == [wanted, 1]


def test_rows_of_a_file_count_on(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, support={})
    found = predict(catalog.products["support"], [{"text": "a"}, {}], catalog.ask(), start=512)
    assert [a["id"] for a in found] == [512, 513]


def test_only_the_highest_scores_unless_all() -> None:
    answer = Answer("ok", {"label": "l3", "scores": {f"l{i}": i / 45 for i in range(10)}})
    assert list(plain(answer, 5)["scores"]) == ["l9", "l8", "l7", "l6", "l5"]
    assert plain(answer, None)["scores"] == answer.fields["scores"]


def test_a_program_that_yields_twice(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, twice={"head": ToyTwice("text", [1.0, 1.0, 1.0])})
    ToyEngine.calls = 0
    (answer,) = predict(catalog.products["twice"], [{"text": "bbb aaaaaa"}], catalog.ask())
    assert (answer["label"], ToyEngine.calls) == ("card", 2)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=2),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(JSON | st.dictionaries(st.sampled_from(["text", "txt", "n"]), JSON), max_size=4))
def test_whatever_the_rows_there_is_an_answer_each(tmp_path: Path, rows: list[Any]) -> None:
    if not (tmp_path / "support").exists():
        make_product(tmp_path, "support")
    catalog = open_catalog(tmp_path)
    answers = predict(catalog.products["support"], [{"text": "a"}, *rows], catalog.ask())
    assert len(answers) == len(rows) + 1
    assert answers[0]["status"] == "ok"


# ---- one row, many products ----------------------------------------------------------------------


def matrix(tmp_path: Path) -> Catalog:
    return catalog_of(
        tmp_path,
        support={},
        reviews={"inputs": {"review": "text"}, "labels": ("bad", "good")},
        twice={"head": ToyTwice("text", [1.0, 1.0, 1.0])},
        risk={"inputs": {"amount": "number"}, "head": ToyTable("amount", [1.0]), "labels": ("high", "low")},
        pair={"inputs": {"left": "text", "right": "text"}, "head": ToyHead("left", [1.0])},
    )


def labels(result: dict[str, Any]) -> dict[str, Any]:
    return {a["product"]: a.get("label", a.get("error")) for a in result["answers"]}


def test_all_that_can_read_a_row_answer_it(tmp_path: Path) -> None:
    catalog = matrix(tmp_path)
    found = one(answering_matrix(catalog, {"text": "bbb"}, None, 5), catalog.ask())
    assert labels(found) == {"reviews": "good", "support": "card", "twice": "card"}
    assert all(answer["version"] == "v1" and answer["status"] == "ok" for answer in found["answers"])
    assert labels(one(answering_matrix(catalog, {"amount": 3}, None, 5), catalog.ask())) == {"risk": "high"}


def test_one_pass_of_the_trunk(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, **{f"p{i}": {"inputs": {f"c{i}": "text"}} for i in range(8)})
    ToyEngine.calls = 0
    assert len(one(answering_matrix(catalog, {"text": "aab"}, None, 5), catalog.ask())["answers"]) == 8
    assert ToyEngine.calls == 1


def test_named_products_answer_in_that_order_and_with_errors(tmp_path: Path) -> None:
    catalog = matrix(tmp_path)
    names = ["twice", "nobody", "risk", "support", "twice"]
    found = one(answering_matrix(catalog, {"text": "aa"}, names, 5), catalog.ask())
    assert labels(found) == {
        "twice": "fee",
        "nobody": "unknown_product",
        "risk": "missing_column",
        "support": "fee",
    }
    assert [a["product"] for a in found["answers"]] == ["twice", "nobody", "risk", "support"]


def test_one_that_breaks_leaves_the_others(tmp_path: Path) -> None:
    catalog = matrix(tmp_path)
    found = one(answering_matrix(catalog, {"text": "break"}, None, 5), catalog.ask())
    assert labels(found) == {"reviews": "broken", "support": "broken", "twice": "fee"}
    assert "secret" not in str(found)


def test_a_bad_cell_is_each_readers_error(tmp_path: Path) -> None:
    catalog = matrix(tmp_path)
    assert labels(one(answering_matrix(catalog, {"text": " "}, None, 5), catalog.ask())) == {
        "support": "missing",
        "twice": "missing",
    }


def test_columns_match_by_name_then_by_kind(tmp_path: Path) -> None:
    products = matrix(tmp_path).products
    assert read_as(products["reviews"], {"review": "a", "text": "b"}) == {"review": "a"}
    assert read_as(products["reviews"], {"text": "b", "stars": 3}) == {"review": "b"}
    assert isinstance(read_as(products["reviews"], {"title": "a", "text": "b"}), Refused)  # which one?
    assert isinstance(read_as(products["pair"], {"text": "b"}), Refused)
    assert isinstance(read_as(products["risk"], {"text": "12"}), Refused)  # a text is no sign of a number
    assert isinstance(read_as(products["risk"], {"flag": True}), Refused)
    assert read_as(products["risk"], {"n": 12}) == {"amount": 12.0}
    assert read_as(products["risk"], {"amount": "12"}) == {"amount": 12.0}
