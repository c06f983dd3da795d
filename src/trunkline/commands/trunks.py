"""`trunkline trunks list`, `show`, `pull`."""

from __future__ import annotations

import click

from trunkline.commands.group import as_json, emit, main


@main.group()
def trunks() -> None:
    """The pretrained models that products share."""


@trunks.command("list")
@as_json
def trunks_list(json_: bool) -> None:
    """Every trunk with its licence, and whether its weights are here."""
    from trunkline.views import trunk_dicts, trunks_text

    found = trunk_dicts()
    emit(json_, {"trunks": found}, trunks_text(found))


@trunks.command("show")
@click.argument("name")
@as_json
def trunks_show(name: str, json_: bool) -> None:
    """One trunk's card: fingerprint, forms, licence, source."""
    from trunkline.views import card_text, trunk_dict

    found = trunk_dict(name)
    emit(json_, found, card_text(found))


@trunks.command("pull")
@click.argument("name")
@as_json
def trunks_pull(name: str, json_: bool) -> None:
    """Find, verify and convert a trunk's weights, so that the first training needn't."""
    from trunkline.trunks import find
    from trunkline.views import card_text, trunk_dict

    find(name).load()
    found = trunk_dict(name)
    emit(json_, found, card_text(found))
