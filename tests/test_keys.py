from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from trunkline.commands.keys import keys
from trunkline.keys import add, listed, revoke
from trunkline.store.place import StoreError, embedded


def run(folder: Path, command: str, *words: str) -> Result:
    return CliRunner().invoke(keys, [command, *words, "--folder", str(folder)])


def as_json(folder: Path, command: str, *words: str) -> Any:
    return json.loads(run(folder, command, *words, "--json").stdout)


def test_a_key_is_made_listed_and_revoked(tmp_path: Path) -> None:
    made = add(tmp_path, "app", days=30)
    secret = made.pop("key")
    assert secret.startswith(made["prefix"])
    assert (made["organisation"], made["scopes"], made["state"]) == ("app", ["predict", "read"], "valid")
    assert listed(tmp_path) == [made]
    ended = revoke(tmp_path, made["prefix"])
    assert ended["state"] == "revoked"
    assert listed(tmp_path) == [ended]


def test_looking_makes_no_store(tmp_path: Path) -> None:
    assert listed(tmp_path) == []
    assert not embedded(tmp_path).parent.exists()


def test_a_store_elsewhere(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    add(tmp_path, "app", store=url)
    assert len(listed(tmp_path, store=url)) == 1
    assert listed(tmp_path) == []


def test_the_commands(tmp_path: Path) -> None:
    made = run(tmp_path, "add", "app", "--organisation", "acme", "--scope", "admin")
    secret = made.stdout.strip()
    assert "can't be shown again" in made.stderr
    shown = run(tmp_path, "list").stdout
    assert secret not in shown
    assert shown.split() == [secret[:11], "valid", "app", "acme", "admin"]
    assert "is revoked" in run(tmp_path, "revoke", secret[:11]).stdout
    assert "revoked" in run(tmp_path, "list").stdout


def test_the_commands_as_json(tmp_path: Path) -> None:
    assert as_json(tmp_path, "list") == {"keys": []}
    made = as_json(tmp_path, "add", "app", "--days", "1")
    secret = made.pop("key")
    assert as_json(tmp_path, "list") == {"keys": [made]}
    assert as_json(tmp_path, "revoke", secret)["state"] == "revoked"


def test_no_keys_is_said(tmp_path: Path) -> None:
    assert "this machine only" in run(tmp_path, "list").stderr


def test_mistakes_are_errors(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="can't be called this"):
        add(tmp_path, "My App")
    with pytest.raises(StoreError, match="no key starts like this"):
        revoke(tmp_path, "tl_abcdefgh")
    assert run(tmp_path, "add", "app", "--scope", "all").exit_code == 2
    assert run(tmp_path, "add", "app", "--days", "0").exit_code == 2
