"""`trunkline export`, `import`: a bundle as a file, or for a phone or a browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from trunkline.commands.group import FOLDER, as_json, emit, main, product_of

if TYPE_CHECKING:
    from trunkline.exporting.portable import Target


@main.command()
@FOLDER
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Default: NAME.tlb here.")
@click.option("--version", "version", help="Bundle to export, like v3; default: the newest.")
@click.option("--with-rows", is_flag=True, help="Leave customers' rows in the report.")
@click.option("--for", "target", type=click.Choice(["phone", "browser"]), help="Write a folder for there instead (with --to).")
@click.option("--to", "place", type=click.Path(path_type=Path), help="The folder to write (with --for); must not exist.")
@as_json
def export(
    folder: Path, output: Path | None, version: str | None, with_rows: bool, target: Target | None, place: Path | None, json_: bool
) -> None:
    """Write a bundle as one file, or as a folder for a phone or a browser."""
    if target is not None and place is not None and output is None and not with_rows:
        needs = product_of(folder).export_for(target, place, version)
        emit(json_, needs.as_dict(), needs.as_text(place))
        return
    if target is not None or place is not None:
        raise click.UsageError("--for and --to go together, without --output and --with-rows")
    file = product_of(folder).export(output, version=version, with_rows=with_rows)
    emit(json_, {"file": str(file), "bytes": file.stat().st_size}, f"wrote {file} ({file.stat().st_size / 1e6:.2f} MB)")


@main.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--into", type=click.Path(path_type=Path), default=Path(), help="Folder that holds the products.")
@as_json
def import_(file: Path, into: Path, json_: bool) -> None:
    """Read an exported bundle back; verified before it is in place."""
    from trunkline.product import import_product

    folder, bundle = import_product(file, into)
    said = f"{folder} has {bundle.version}; next: trunkline deploy {folder} {bundle.version}"
    emit(json_, {"folder": str(folder), "version": bundle.version}, said)
