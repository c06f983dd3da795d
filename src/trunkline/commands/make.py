"""`trunkline init`, `config`, `schema`, `validate`: a product before it is trained."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from trunkline.commands.group import FOLDER, as_json, emit, main, print_json, product_of


@main.command()
@FOLDER
@click.option("--template", help="Start from a shipped sample: intent, triage, toxicity, privacy, topics, risk.")
@click.option("--from", "source", type=click.Path(path_type=Path), help="Start from your own file, or folder of class folders.")
@click.option("--label", help="Column with the right answer (with --from).")
@click.option("--input", "inputs", multiple=True, help="Column that goes in (with --from); may be repeated.")
@as_json
def init(folder: Path, template: str | None, source: Path | None, label: str | None, inputs: tuple[str, ...], json_: bool) -> None:
    """Make a product: product.toml, rows and a README."""
    from trunkline.init import init_from_file, init_from_template

    name = folder.resolve().name  # so that `.` is the folder one stands in
    if template is not None and (label is not None or inputs):
        raise click.UsageError("--label and --input go with --from; a template has its own")
    if source is not None and template is None:
        guess = init_from_file(folder, name, source, label, list(inputs) or None)
        files, notes = guess.files, list(guess.notes)
    elif template is not None and source is None:
        files, notes = init_from_template(folder, name, template), []
    else:
        raise click.UsageError("give either --template NAME or --from FILE")
    lines = [*notes, *(f"wrote {file}" for file in files), f"next: trunkline train {folder}"]
    emit(json_, {"files": [str(f) for f in files], "notes": notes}, "\n".join(lines))


@main.command()
@FOLDER
@as_json
def config(folder: Path, json_: bool) -> None:
    """Print the spec with every default filled in."""
    from trunkline.spec import dump_spec
    from trunkline.spec.reference import to_toml

    spec = dump_spec(product_of(folder).spec)
    emit(json_, spec, to_toml(spec))


@main.command()
@as_json
def schema(json_: bool) -> None:
    """Print the JSON Schema of product.toml, for editors: JSON in any case."""
    from trunkline.spec.reference import json_schema

    print_json(json_schema())


@main.command()
@FOLDER
@as_json
def validate(folder: Path, json_: bool) -> None:
    """Check spec and rows; nothing is trained."""
    from trunkline.terminal import Terminal
    from trunkline.views import data_dict, data_text

    report = product_of(folder).validate(progress=Terminal())
    emit(json_, data_dict(report), data_text(report))
    if any(f.severity == "stop" for f in report.findings):
        sys.exit(2)
