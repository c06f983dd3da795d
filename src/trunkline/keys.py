"""`trunkline keys`: who may call a server. The functions return plain values; the commands print them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from trunkline.store.callers import Key
    from trunkline.store.database import Store

Command = Callable[..., None]


def add(
    folder: Path,
    name: str,
    *,
    organisation: str | None = None,
    scopes: Collection[str] = ("predict", "read"),
    days: int | None = None,
    store: str | None = None,
) -> dict[str, Any]:
    """A new key of caller `name`: {"key", "prefix", "name", ...}. `key` is nowhere else and can't be shown again.

    The organisation is the caller's own name unless given: callers of one organisation share its cache and its
    share of the server. Raises StoreError.
    """
    now = datetime.now(UTC)
    expires = None if days is None else now + timedelta(days=days)
    with _opened(folder, store) as opened:
        from trunkline.store.callers import add_key

        secret, key = add_key(opened, name, organisation or name, scopes, now, expires)
    return {"key": secret, **_plain(key, now)}


def listed(folder: Path, *, store: str | None = None) -> list[dict[str, Any]]:
    """All keys that were ever made, the oldest first, without what can't be known of them. Raises StoreError."""
    from trunkline.store.place import store_exists

    if not store_exists(folder, store):
        return []
    now = datetime.now(UTC)
    with _opened(folder, store) as opened:
        from trunkline.store.callers import list_keys

        return [_plain(key, now) for key in list_keys(opened)]


def revoke(folder: Path, prefix: str, *, store: str | None = None) -> dict[str, Any]:
    """Ends a key, named by how it starts. Running servers follow within seconds. Raises StoreError."""
    now = datetime.now(UTC)
    with _opened(folder, store) as opened:
        from trunkline.store.callers import revoke_key

        return _plain(revoke_key(opened, prefix, now), now)


@contextmanager
def _opened(folder: Path, store: str | None) -> Iterator[Store]:
    from trunkline.store.place import open_at

    opened = open_at(folder, store)
    try:
        yield opened
    finally:
        opened.close()


def _plain(key: Key, now: datetime) -> dict[str, Any]:
    state = "valid" if key.valid(now) else "expired" if key.revoked is None else "revoked"
    return {
        "prefix": key.prefix,
        "name": key.name,
        "organisation": key.organisation,
        "scopes": sorted(key.scopes),
        "state": state,
        "created": key.created.isoformat(timespec="seconds"),
        "expires": None if key.expires is None else key.expires.isoformat(timespec="seconds"),
        "revoked": None if key.revoked is None else key.revoked.isoformat(timespec="seconds"),
    }


# ---- commands -----------------------------------------------------------------------------------


@click.group()
def keys() -> None:
    """Make, list and revoke the keys that callers of a server hold."""


def _place(command: Command) -> Command:
    """Options of all: whose store."""
    command = click.option("--json", "json_", is_flag=True, help="One JSON object on stdout.")(command)
    command = click.option("--store", help="Address of the store; default: the one in FOLDER.")(command)
    folder = click.Path(path_type=Path, exists=True, file_okay=False)
    return click.option("--folder", type=folder, default=".", help="Folder that `trunkline serve` is given.")(command)


@keys.command("add")
@click.argument("name")
@click.option("--organisation", help="Whom the caller belongs to; default: NAME itself.")
@click.option("--scope", "scopes", multiple=True, default=("predict", "read"), show_default=True,
              type=click.Choice(("predict", "read", "admin")), help="May be repeated; admin includes the others.")  # fmt: skip
@click.option("--days", type=click.IntRange(1, 3650), help="When it expires; default: never.")
@_place
def add_command(
    name: str, organisation: str | None, scopes: tuple[str, ...], days: int | None, folder: Path, store: str | None, json_: bool
) -> None:
    """Make a key for caller NAME. It is shown once."""
    made = add(folder, name, organisation=organisation, scopes=scopes, days=days, store=store)
    if json_:
        return _print_json(made)
    click.echo(made["key"])
    click.echo("Keep it: it can't be shown again. Restart servers that were started before the first key.", err=True)


@keys.command("list")
@_place
def list_command(folder: Path, store: str | None, json_: bool) -> None:
    """All keys: how each starts, whose it is, what it may."""
    found = listed(folder, store=store)
    if json_:
        return _print_json({"keys": found})
    for key in found:
        until = f"until {key['expires']}" if key["expires"] else ""
        line = (key["prefix"], key["state"], key["name"], key["organisation"], ",".join(key["scopes"]), until)
        click.echo("  ".join(line).rstrip())
    if not found:
        click.echo("no keys: the server answers this machine only", err=True)


@keys.command("revoke")
@click.argument("prefix")
@_place
def revoke_command(prefix: str, folder: Path, store: str | None, json_: bool) -> None:
    """End the key that starts with PREFIX, as `list` shows it."""
    ended = revoke(folder, prefix, store=store)
    if json_:
        return _print_json(ended)
    click.echo(f"{ended['prefix']} of {ended['name']} is revoked; running servers follow within seconds")


def _print_json(value: Any) -> None:
    import orjson

    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
