"""`trunkline encode`: features of a large table, ahead of trainings."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import click

from trunkline.commands.group import FOLDER, as_json, emit, main, product_of


def _part(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", value)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise click.BadParameter(f"{value!r} is no part; the second of three is 2/3", ctx, param)
    return int(found[1]), int(found[2])


@main.command()
@FOLDER
@click.option("--data", type=click.Path(path_type=Path), help="A table of the product's columns; default: its own rows.")
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that share the rows out.")
@click.option("--part", metavar="K/N", callback=_part, help="Only every N-th block from the K-th, for several machines with one cache.")
@click.option("--on", "on", type=click.Choice(["ray"]), help="The processes are a Ray cluster's: $RAY_ADDRESS, else one made here.")
@as_json
def encode(folder: Path, data: Path | None, processes: int, part: tuple[int, int] | None, on: str | None, json_: bool) -> None:
    """Put the features of a product's rows into the cache; what is there is not computed again."""
    from trunkline.line.encode import encode as run
    from trunkline.line.encode import encode_by
    from trunkline.terminal import Terminal

    if part is not None and (processes > 1 or on is not None):
        raise click.UsageError("give either --part, or --processes and --on")
    if on is not None:
        from trunkline.on_ray.encoding import encode_on_ray

        found = encode_on_ray(folder, data, processes, Terminal())
    elif processes > 1:
        found = encode_by(processes, [str(folder), *(["--data", str(data)] if data else [])])
    else:
        product = product_of(folder)
        found = run(product.spec, folder, product.desk, data, part or (1, 1), Terminal())
    emit(json_, asdict(found), f"{found.rows:,} rows: {found.new:,} cells encoded, {found.known:,} known; {found.refused:,} rows refused")
