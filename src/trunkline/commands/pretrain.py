"""`trunkline pretrain`: what is learned from rows without labels, for products to start from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from trunkline.commands.group import as_json, emit, main
from trunkline.errors import TrunklineError


def from_pictures(given: Sequence[Path]) -> bool:
    """Are they folders or files of pictures? Decided by the names below the first."""
    from trunkline.inputs.file_kinds import SUFFIXES

    first = given[0]
    names = first.rglob("*") if first.is_dir() else [first]
    return any(SUFFIXES.get(name.suffix.lower()) == "image" for name in names)


@main.command()
@click.argument("given", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--to", required=True, type=click.Path(path_type=Path), help="Folder that it becomes; must not exist.")
@click.option("--from", "base", default="e5-small", show_default=True, help="Texts: the trunk to learn on from.")
@click.option("--column", "columns", multiple=True, help="Texts: a column that holds them; may be given several times.")
@click.option("--size", default="small", type=click.Choice(["small", "base"]), show_default=True, help="Pictures: of the network `cnn`.")
@click.option("--side", default=64, show_default=True, help="Pictures: pixels of the square they are pressed into.")
@click.option("--epochs", type=click.IntRange(1), help="Times that every row is learned from; 3 for texts, 10 for pictures.")
@click.option("--seed", default=0, show_default=True, help="Of whatever is drawn at random.")
@as_json
def pretrain(
    given: tuple[Path, ...], to: Path, base: str, columns: tuple[str, ...], size: str, side: int, epochs: int | None, seed: int, json_: bool
) -> None:
    """Learn from texts or pictures without labels.

    Texts (CSV, JSONL, Parquet, or a line each in .txt) give a new trunk: name it in product.toml as
    text = "folder:TO". Pictures (folders) give a start for the method cnn: start = "TO".
    """
    from trunkline.terminal import Terminal
    from trunkline.training import parallel

    if parallel.size() > 1:
        raise TrunklineError("pretrain learns in one process", found=f"{parallel.size()} processes", hint="the same command without torchrun")
    set_up = {} if epochs is None else {"epochs": epochs}
    if from_pictures(given):
        emit(json_, *_pictures(given, to, {"size": size, "side": side, **set_up}, seed, Terminal()))
    else:
        emit(json_, *_texts(given, to, base, columns, set_up, seed, Terminal()))


def _texts(
    files: Sequence[Path], to: Path, base: str, columns: Sequence[str], set_up: dict[str, Any], seed: int, progress: Any
) -> tuple[dict[str, Any], str]:
    from trunkline.pretraining.language import Settings, pretrain
    from trunkline.pretraining.texts import read_texts

    found = pretrain(base, read_texts(files, columns), to, Settings(**set_up), seed, progress)
    told = {"folder": str(to), "texts": found.texts, "tokens": found.tokens, "seconds": found.seconds}
    told |= {"perplexity": {"unigram": found.unigram, "before": found.before, "after": found.after}}
    said = (
        f"{to}: {base} learned on from {found.texts:,} texts, {found.tokens:,} tokens in {found.seconds:,.0f} s\n"
        f"perplexity of held-out texts: {found.unigram:,.1f} by frequencies, {found.before:,.1f} before, {found.after:,.1f} now\n"
        f'next: in product.toml, [trunks] text = "folder:{to}"'
    )
    return told, said


def _pictures(folders: Sequence[Path], to: Path, set_up: dict[str, Any], seed: int, progress: Any) -> tuple[dict[str, Any], str]:
    import msgspec

    from trunkline.errors import SpecError, TrunklineError
    from trunkline.pretraining.pictures import StartSettings, pretrain_pictures, read_pictures

    if to.exists():
        raise TrunklineError("this folder exists already", where=str(to), hint="choose another name for the start")
    try:
        settings = msgspec.convert(set_up, StartSettings)
    except msgspec.ValidationError as error:
        raise SpecError("a setting can't be", found=str(error)) from None
    pictures, refused = read_pictures(folders)
    found = pretrain_pictures(pictures, settings, seed, to, progress)
    told = {"folder": str(to), "pictures": found.pictures, "refused": refused, "loss": found.loss}
    said = (
        f"{to}: learned from {found.pictures:,} pictures{f', {refused:,} could not be read' if refused else ''}; "
        f"loss of held-out ones {found.loss[0][1]:.3f} after the first epoch, {min(held for _, held in found.loss):.3f} at best\n"
        f'next: in product.toml, method cnn with start = "{to}", size = "{found.size}", side = {found.side}'
    )
    return told, said
