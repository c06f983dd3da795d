"""`trunkline predict`, and the rows that a command is asked about."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from trunkline.commands.group import FOLDER, as_json, main, print_json, product_of
from trunkline.errors import DataError


@main.command()
@FOLDER
@click.argument("text", required=False)
@click.option("--file", "file", type=click.Path(path_type=Path), help="Rows from a csv, jsonl or parquet file.")
@click.option("--version", "version", help="Bundle to ask, like v3; default: the newest.")
@as_json
def predict(folder: Path, text: str | None, file: Path | None, version: str | None, json_: bool) -> None:
    """Answer one text or picture, the rows of a file, or JSON lines on stdin; one JSON line an answer."""
    import orjson

    rows = rows_of(folder, text, file)
    answers = product_of(folder).predict(rows, version=version)
    if json_:
        print_json({"answers": list(answers)})
        return
    for answer in answers:
        click.echo(orjson.dumps(answer).decode())


def rows_of(folder: Path, text: str | None, file: Path | None) -> Iterable[Mapping[str, Any]]:
    if text is not None and file is not None:
        raise click.UsageError("give either TEXT or --file")
    product = product_of(folder)
    if text is not None:
        return [product.row_of(text)]
    if file is not None:
        return product.rows_of(file)
    from trunkline.data.sources.jsonl import rows_of_lines

    rows = rows_of_lines(sys.stdin.buffer, "stdin")
    first = next(rows, None)
    if first is None:
        raise DataError(
            "there are no rows",
            where="stdin",
            wanted="one JSON object a line",
            hint=f'or ask one text: trunkline predict {folder} "..."',
        )
    return itertools.chain([first], rows)
