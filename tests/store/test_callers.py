from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from trunkline.store.callers import add_key, find_key, has_keys, hash_key, list_keys, revoke_key
from trunkline.store.database import Store
from trunkline.store.place import StoreError
from trunkline.store.tables import callers


def found(store: Store, secret: str) -> object:
    hashed = hash_key(secret)
    assert hashed is not None
    return find_key(store, hashed)


def test_a_key_is_found_by_its_hash_and_kept_nowhere(store: Store, now: datetime) -> None:
    secret, key = add_key(store, "app", "acme", ["predict"], now)
    assert secret.startswith("tl_")
    assert len(secret) == 46
    assert secret.startswith(key.prefix)
    assert found(store, secret) == key
    assert found(store, secret[:-1] + ("A" if secret[-1] != "A" else "B")) is None
    with store.read() as connection:
        kept = repr(connection.execute(select(callers)).all())
    assert secret not in kept
    assert secret[3:] not in kept


def test_what_is_no_key_has_no_hash() -> None:
    for word in ("", "tl_", "tl_" + "a" * 42, "tl_" + "a" * 44, "xx_" + "a" * 43, "tl_" + "钥" * 43, "tl_" + "a" * 43 + "\n"):
        assert hash_key(word) is None


def test_two_keys_of_one_caller(store: Store, now: datetime) -> None:
    first, _ = add_key(store, "app", "acme", ["predict"], now)
    second, _ = add_key(store, "app", "acme", ["read", "admin"], now + timedelta(seconds=1))
    assert first != second
    assert [(key.name, key.organisation, key.scopes) for key in list_keys(store)] == [
        ("app", "acme", frozenset({"predict"})),
        ("app", "acme", frozenset({"read", "admin"})),
    ]


def test_a_revoked_key_is_known_but_not_valid(store: Store, now: datetime) -> None:
    secret, key = add_key(store, "app", "acme", ["predict"], now)
    later = now + timedelta(hours=1)
    assert revoke_key(store, key.prefix, later) == replace(key, revoked=later)
    assert found(store, secret) == replace(key, revoked=later)
    assert not replace(key, revoked=later).valid(later)
    assert revoke_key(store, key.prefix, later + timedelta(hours=1)).revoked == later


def test_the_whole_key_may_be_given_to_revoke(store: Store, now: datetime) -> None:
    secret, key = add_key(store, "app", "acme", ["predict"], now)
    assert revoke_key(store, secret, now).prefix == key.prefix


def test_revoking_what_is_not_there_names_the_nearest(store: Store, now: datetime) -> None:
    secret, key = add_key(store, "app", "acme", ["predict"], now)
    with pytest.raises(StoreError, match="no key starts like this") as caught:
        revoke_key(store, key.prefix[:-1] + "~", now)
    assert key.prefix in caught.value.hint
    assert secret not in str(caught.value)


def test_an_expired_key_is_not_valid(store: Store, now: datetime) -> None:
    _, key = add_key(store, "app", "acme", ["predict"], now, expires=now + timedelta(days=1))
    assert key.valid(now)
    assert not key.valid(now + timedelta(days=1))


def test_revoking_the_last_key_opens_nothing(store: Store, now: datetime) -> None:
    assert not has_keys(store)
    _, key = add_key(store, "app", "acme", ["predict"], now)
    revoke_key(store, key.prefix, now)
    assert has_keys(store)


@pytest.mark.parametrize(
    ("name", "organisation", "scopes", "said"),
    [
        ("App", "acme", ["predict"], "caller can't be called this"),
        ("app", "a b", ["predict"], "organisation can't be called this"),
        ("app", "", ["predict"], "organisation can't be called this"),
        ("app", "acme", ["predictt"], "did you mean 'predict'"),
        ("app", "acme", [], "known scopes"),
    ],
)
def test_what_a_key_may_not_be(
    store: Store, now: datetime, name: str, organisation: str, scopes: list[str], said: str
) -> None:
    with pytest.raises(StoreError) as caught:
        add_key(store, name, organisation, scopes, now)
    assert said in str(caught.value)
    assert not has_keys(store)


def test_a_key_that_would_have_expired(store: Store, now: datetime) -> None:
    with pytest.raises(StoreError, match="expired already"):
        add_key(store, "app", "acme", ["predict"], now, expires=now)
