"""`trunkline keys`: who may call a server."""

from __future__ import annotations

from pathlib import Path

import click

from trunkline import keys as callers
from trunkline.commands.group import F, as_json, main, print_json


@main.group()
def keys() -> None:
    """Make, list and revoke the keys that callers of a server hold."""


def _place(command: F) -> F:
    """Options of all: whose store, and `--json`."""
    command = click.option("--store", help="Address of the store; default: the one in FOLDER.")(as_json(command))
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
    made = callers.add(folder, name, organisation=organisation, scopes=scopes, days=days, store=store)
    if json_:
        return print_json(made)
    click.echo(made["key"])
    click.echo("Keep it: it can't be shown again. Restart servers that were started before the first key.", err=True)


@keys.command("list")
@_place
def list_command(folder: Path, store: str | None, json_: bool) -> None:
    """All keys: how each starts, whose it is, what it may."""
    found = callers.listed(folder, store=store)
    if json_:
        return print_json({"keys": found})
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
    ended = callers.revoke(folder, prefix, store=store)
    if json_:
        return print_json(ended)
    click.echo(f"{ended['prefix']} of {ended['name']} is revoked; running servers follow within seconds")
