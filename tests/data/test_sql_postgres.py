"""The SQL source on a real PostgreSQL: typed cells, streaming, read-only, and a product trained from it."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from tests.products import text_product, texts

from trunkline.data.sources.sql import SqlSource
from trunkline.errors import DataError, MissingExtra
from trunkline.spec import Query


@pytest.fixture
def shop(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine on the database that the user's connections.toml calls "shop"."""
    monkeypatch.setenv("TRUNKLINE_CONFIG", str(tmp_path))
    address = database.replace("postgresql+psycopg://", "postgresql://")  # as a user writes it
    (tmp_path / "connections.toml").write_text(f'shop = "{address}"\n')
    engine = create_engine(database)
    yield engine
    engine.dispose()


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execution_options(no_parameters=True).exec_driver_sql(statement)


def rows(query: str) -> list[dict[str, object]]:
    return list(SqlSource(Query("shop", query)).rows())


def test_cells_keep_their_types(shop: Engine) -> None:
    run(shop, "CREATE TABLE t (a int, b numeric, c date, d boolean, e text[], f text)")
    run(shop, "INSERT INTO t VALUES (1, 2.50, '2024-01-31', true, '{late,包裹}', '我的卡'), (2, NULL, NULL, NULL, NULL, NULL)")
    assert rows("SELECT * FROM t ORDER BY a") == [
        {"a": 1, "b": Decimal("2.50"), "c": datetime.date(2024, 1, 31), "d": True, "e": ["late", "包裹"], "f": "我的卡"},
        dict.fromkeys("abcdef", None) | {"a": 2},
    ]


def test_signs_that_drivers_take_for_parameters(shop: Engine) -> None:
    run(shop, "CREATE TABLE t AS SELECT '100% :x' AS f")
    assert rows("SELECT f, '%s' AS p FROM t WHERE f LIKE '100%'") == [{"f": "100% :x", "p": "%s"}]


def test_rows_stream_and_an_early_end_leaves_no_connection(shop: Engine) -> None:
    ten_million = SqlSource(Query("shop", "SELECT g, repeat('x', 100) AS f FROM generate_series(1, 10000000) g")).rows()
    assert next(ten_million)["g"] == 1
    ten_million.close()  # type: ignore[attr-defined]
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with shop.connect() as connection:
        assert connection.execute(text(others)).scalar_one() == 0


def test_a_function_that_writes_is_stopped_by_the_database(shop: Engine) -> None:
    run(shop, "CREATE SEQUENCE s")
    with pytest.raises(DataError, match="read-only transaction"):
        rows("SELECT nextval('s') AS n")


def test_a_failing_query_names_what_is_wrong(shop: Engine) -> None:
    with pytest.raises(DataError, match='column "colour" does not exist'):
        rows("SELECT colour FROM pg_class")


def test_a_refused_password_is_in_no_message(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    user, _, rest = database.removeprefix("postgresql+psycopg://").partition(":")
    monkeypatch.setenv("TRUNKLINE_CONNECTION_SHOP", f"postgresql://{user}:hunter2@{rest.partition('@')[2]}")
    with pytest.raises(DataError, match="password authentication failed") as caught:
        rows("SELECT 1")
    assert not [secret for secret in ("hunter2", user) if secret in str(caught.value)]


def test_without_its_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CONNECTION_SHOP", "postgresql://host/db")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match="psycopg"):
        rows("SELECT 1")


def test_a_product_trained_from_the_database(shop: Engine, tmp_path: Path) -> None:
    run(shop, "CREATE TABLE asked (id serial, text text, label text, day date)")
    day = datetime.date(2024, 1, 1)
    with shop.begin() as connection:
        insert = text("INSERT INTO asked (text, label, day) VALUES (:text, :label, :day)")
        for words, label in texts(150):
            connection.execute(insert, {"text": words, "label": label, "day": day})
    product = text_product(tmp_path / "support")
    toml = tmp_path / "support" / "product.toml"
    asked = '{ connection = "shop", query = "SELECT text, label FROM asked ORDER BY id" }'
    toml.write_text(toml.read_text().replace("data = { test", f"data = {{ train = {asked}, test"))
    bundle = product.train()
    assert bundle.report["data"]["rows"]["train"] == 150
    assert bundle.report["data"]["source"].startswith("query on connection 'shop'")
    held = [path for path in product.folder.rglob("*") if path.is_file() and b"trunkline_test" in path.read_bytes()]
    assert not held, "the connection's address is in a file"
