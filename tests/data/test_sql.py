from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import make_url

from trunkline.data.sources.sql import SqlSource, check_select, connection_url, redact
from trunkline.errors import DataError
from trunkline.spec import Query


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "shop.db"
    connection = sqlite3.connect(file)
    connection.execute("create table t (a, b)")
    connection.executemany("insert into t values (?, ?)", [(i, "%s :x") for i in range(5_000)])
    connection.commit()
    connection.close()
    monkeypatch.setenv("TRUNKLINE_CONFIG", str(tmp_path))
    (tmp_path / "connections.toml").write_text(f'shop = "sqlite:///{file}"\n')
    return file


def rows(query: str, connection: str = "shop") -> list[dict[str, object]]:
    return list(SqlSource(Query(connection, query)).rows())


def test_rows_from_the_users_configuration(shop: Path) -> None:
    read = rows("SELECT a, b, '100%' AS p, ':x' AS q FROM t ORDER BY a")
    assert len(read) == 5_000
    assert read[0] == {"a": 0, "b": "%s :x", "p": "100%", "q": ":x"}


def test_with_is_a_select_too(shop: Path) -> None:
    assert rows("WITH u AS (SELECT a FROM t) SELECT max(a) AS m FROM u;") == [{"m": 4999}]


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE t",
        "SELECT 1; DROP TABLE t",
        "/* SELECT */ DELETE FROM t",
        "WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x",
        "SELECT a INTO u FROM t",
        "PRAGMA user_version = 5",
        "",
        "-- nothing",
    ],
)
def test_only_one_select(shop: Path, query: str) -> None:
    with pytest.raises(DataError, match="more than read"):
        rows(query)


@pytest.mark.parametrize("query", ["select 'a; drop' as x", 'SELECT 1 AS "delete"', "SELECT a -- ; delete\nFROM t"])
def test_words_in_quotes_and_comments_are_no_statements(query: str) -> None:
    check_select(query, "here")


def test_a_failing_query(shop: Path) -> None:
    with pytest.raises(DataError, match="no such column"):
        rows("SELECT colour FROM t")


def test_columns_named_twice(shop: Path) -> None:
    with pytest.raises(DataError, match="twice"):
        rows("SELECT a, a FROM t")


def test_unknown_connection_offers_the_nearest(shop: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'shop'"):
        rows("SELECT 1", "shopp")


@pytest.mark.parametrize(("written", "found"), [("3", "a number"), ('{ url = "hunter2" }', "a table")])
def test_a_connection_that_is_no_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, found: str
) -> None:
    monkeypatch.setenv("TRUNKLINE_CONFIG", str(tmp_path))
    (tmp_path / "connections.toml").write_text(f"shop = {written}\n")
    with pytest.raises(DataError, match="'shop' is no address") as caught:
        connection_url("shop")
    assert (caught.value.found, caught.value.hint) == (found, "")
    assert "hunter2" not in str(caught.value)


def test_the_environment_comes_first(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CONNECTION_SHOP", "sqlite://")
    assert connection_url("shop") == "sqlite://"


@pytest.mark.parametrize(
    "address",
    [
        "sqlite:////nowhere/hunter2/x.db",
        "nodialect://user:hunter2@host/db",
        "postgresql+nodriver://user:hunter2@host/db",
        "not an address hunter2",
        "postgresql://user:hunter2@127.0.0.1:1/db",
    ],
)
def test_no_message_holds_a_secret(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("TRUNKLINE_CONNECTION_SHOP", address)
    source = SqlSource(Query("shop", "SELECT 1"))
    with pytest.raises(DataError) as caught:
        list(source.rows())
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.__cause__)
    assert "hunter2" not in source.describe()


def test_redact() -> None:
    url = make_url("postgresql://alice:pa@db.example.com/x?token=abcdef")
    assert redact("alice pa abcdef db.example.com x", url) == "*** *** *** *** x"


def test_broken_configuration_shows_no_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_CONFIG", str(tmp_path))
    (tmp_path / "connections.toml").write_text('shop = "hunter2')
    with pytest.raises(DataError) as caught:
        connection_url("shop")
    assert "hunter2" not in str(caught.value)
