"""The commands. Each is a few lines that call the library; anything printed and any exit code is here.

Exit codes: 0 done, 2 an error, 3 trained but the gate failed, 130 interrupted.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from trunkline import __version__
from trunkline.errors import GateFailed, TrunklineError

if TYPE_CHECKING:
    from trunkline.product import Product

F = TypeVar("F", bound=Callable[..., Any])
_JSON = "trunkline.json"
FOLDER = click.argument("folder", type=click.Path(path_type=Path))


class Commands(click.Group):
    """Turns every TrunklineError into its lines (or a JSON object) and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TrunklineError as error:
            from trunkline.terminal import error_lines

            if ctx.meta.get(_JSON):
                _print_json(error.as_dict())
            else:
                click.echo(error_lines(error, sys.stderr), err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("\nstopped; the last good state is untouched", err=True)
            ctx.exit(130)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trunkline")
def main() -> None:
    """Declare AI products in a file; train, prove and serve them on one shared model."""


def as_json(command: F) -> F:
    def note(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
        ctx.meta[_JSON] = value  # shared with the group, which prints errors
        return value

    return click.option(
        "--json", "json_", is_flag=True, is_eager=True, callback=note, help="One JSON object on stdout."
    )(command)


def _print_json(value: Any) -> None:
    import orjson

    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode())


def _product(folder: Path) -> Product:
    from trunkline.product import Product

    return Product(folder)


def _emit(json_: bool, value: Mapping[str, Any], text: str) -> None:
    if json_:
        _print_json(value)
    else:
        click.echo(text)


@main.command()
@FOLDER
@click.option("--template", help="Start from a shipped sample: intent, triage, toxicity, privacy, topics, risk.")
@click.option("--from", "source", type=click.Path(path_type=Path), help="Start from your own file.")
@click.option("--label", help="Column with the right answer (with --from).")
@click.option("--input", "inputs", multiple=True, help="Column that goes in (with --from); may be repeated.")
@as_json
def init(folder: Path, template: str | None, source: Path | None, label: str | None, inputs: tuple[str, ...], json_: bool) -> None:
    """Make a product: product.toml, rows and a README."""
    from trunkline.init import init_from_file, init_from_template

    if source is not None and template is None:
        guess = init_from_file(folder, folder.name, source, label, list(inputs) or None)
        files, notes = guess.files, list(guess.notes)
    elif template is not None and source is None:
        files, notes = init_from_template(folder, folder.name, template), []
    else:
        raise click.UsageError("give either --template NAME or --from FILE")
    lines = [*notes, *(f"wrote {file}" for file in files), f"next: trunkline train {folder}"]
    _emit(json_, {"files": [str(f) for f in files], "notes": notes}, "\n".join(lines))


@main.command()
@FOLDER
@as_json
def config(folder: Path, json_: bool) -> None:
    """Print the spec with every default filled in."""
    from trunkline.spec import dump_spec
    from trunkline.spec.reference import to_toml

    spec = dump_spec(_product(folder).spec)
    _emit(json_, spec, to_toml(spec))


@main.command()
def schema() -> None:
    """Print the JSON Schema of product.toml, for editors."""
    from trunkline.spec.reference import json_schema

    _print_json(json_schema())


@main.command()
@FOLDER
@as_json
def validate(folder: Path, json_: bool) -> None:
    """Check spec and rows; nothing is trained."""
    from trunkline.terminal import Terminal
    from trunkline.views import data_dict, data_text

    report = _product(folder).validate(progress=Terminal())
    _emit(json_, data_dict(report), data_text(report))
    if any(f.severity == "stop" for f in report.findings):
        sys.exit(2)


@main.command()
@FOLDER
@as_json
def train(folder: Path, json_: bool) -> None:
    """Check, learn, prove, judge and pack. Nothing goes live by itself."""
    from trunkline.terminal import Terminal
    from trunkline.views import bundle_dict, bundle_text

    bundle = _product(folder).train(progress=Terminal())
    _emit(json_, bundle_dict(bundle), bundle_text(bundle))
    _exit_by_gate(bundle.report)


@main.command()
@FOLDER
@click.option("--data", type=click.Path(path_type=Path), help="Other rows with labels; default: the test part.")
@click.option("--version", "version", help="Bundle to prove, like v3; default: the newest.")
@as_json
def evaluate(folder: Path, data: Path | None, version: str | None, json_: bool) -> None:
    """The same proof on other rows."""
    from trunkline.terminal import Terminal
    from trunkline.views import report_text

    product = _product(folder)
    bundle = product.bundle(version)
    report = product.evaluate(data, version=bundle.version, progress=Terminal())
    page = "" if data else str(bundle.folder / "report.html")  # other rows have no page of their own
    _emit(json_, report, report_text(report, page, bundle.version))
    _exit_by_gate(report)


def _exit_by_gate(report: Mapping[str, Any]) -> None:
    if not report["verdict"]["passed"]:
        sys.exit(GateFailed.exit_code)


@main.command()
@FOLDER
@click.argument("text", required=False)
@click.option("--file", "file", type=click.Path(path_type=Path), help="Rows from a csv, jsonl or parquet file.")
@click.option("--version", "version", help="Bundle to ask, like v3; default: the newest.")
@as_json
def predict(folder: Path, text: str | None, file: Path | None, version: str | None, json_: bool) -> None:
    """Answer one text, the rows of a file, or JSON lines on stdin; one JSON line an answer."""
    import orjson

    if text is not None and file is not None:
        raise click.UsageError("give either TEXT or --file")
    rows = _rows(folder, text, file)
    answers = _product(folder).predict(rows, version=version)
    if json_:
        _print_json({"answers": list(answers)})
        return
    for answer in answers:
        click.echo(orjson.dumps(answer).decode())


def _rows(folder: Path, text: str | None, file: Path | None) -> Iterable[Mapping[str, Any]]:
    product = _product(folder)
    if text is not None:
        return [{product.only_input(): text}]
    if file is not None:
        return product.rows_of(file)
    from trunkline.data.sources.jsonl import rows_of_lines

    return rows_of_lines(sys.stdin, "stdin")


@main.command()
@FOLDER
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
def serve(folder: Path, host: str, port: int) -> None:
    """Serve every product below FOLDER: API, docs at /docs."""
    from trunkline.serve.run import serve as run

    run(folder, host=host, port=port)


@main.command()
@FOLDER
@click.argument("version", required=False)
@click.option("--override", metavar="REASON", help="Deploy although the gate failed; kept on record.")
@as_json
def deploy(folder: Path, version: str | None, override: str | None, json_: bool) -> None:
    """Name the bundle that serves: VERSION, or the newest."""
    live = _product(folder).deploy(version, override).version
    _emit(json_, {"live": live}, f"{live} serves from the next start of the server")


@main.command()
@FOLDER
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Default: NAME.tlb here.")
@click.option("--version", "version", help="Bundle to export, like v3; default: the newest.")
@click.option("--with-rows", is_flag=True, help="Leave customers' rows in the report.")
@as_json
def export(folder: Path, output: Path | None, version: str | None, with_rows: bool, json_: bool) -> None:
    """Write a bundle as one file."""
    file = _product(folder).export(output, version=version, with_rows=with_rows)
    _emit(json_, {"file": str(file), "bytes": file.stat().st_size}, f"wrote {file} ({file.stat().st_size / 1e6:.2f} MB)")


@main.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--into", type=click.Path(path_type=Path), default=Path(), help="Folder that holds the products.")
@as_json
def import_(file: Path, into: Path, json_: bool) -> None:
    """Read an exported bundle back; verified before it is in place."""
    from trunkline.product import import_product

    folder, bundle = import_product(file, into)
    said = f"{folder} has {bundle.version}; next: trunkline deploy {folder} {bundle.version}"
    _emit(json_, {"folder": str(folder), "version": bundle.version}, said)


@main.group()
def trunks() -> None:
    """The pretrained models that products share."""


@trunks.command("list")
@as_json
def trunks_list(json_: bool) -> None:
    """Every trunk with its licence, and whether its weights are here."""
    from trunkline.views import trunk_dicts, trunks_text

    found = trunk_dicts()
    _emit(json_, {"trunks": found}, trunks_text(found))


@trunks.command("show")
@click.argument("name")
@as_json
def trunks_show(name: str, json_: bool) -> None:
    """One trunk's card: fingerprint, forms, licence, source."""
    from trunkline.views import card_text, trunk_dict

    found = trunk_dict(name)
    _emit(json_, found, card_text(found))


@trunks.command("pull")
@click.argument("name")
@as_json
def trunks_pull(name: str, json_: bool) -> None:
    """Find, verify and convert a trunk's weights, so that the first training needn't."""
    from trunkline.trunks import find
    from trunkline.views import card_text, trunk_dict

    find(name).load()
    found = trunk_dict(name)
    _emit(json_, found, card_text(found))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("demo"))
@click.option("--keep", is_flag=True, help="Keep the server up until Ctrl-C.")
@as_json
def demo(folder: Path, keep: bool, json_: bool) -> None:
    """Train a first matrix of products from shipped samples, serve it, and ask all of it at once."""
    from trunkline.demo import SENTENCES, ask_all, next_steps, server, train_matrix
    from trunkline.terminal import Terminal
    from trunkline.views import answers_text, bundle_dict, matrix_table

    trained = train_matrix(folder, Terminal())
    say = functools.partial(click.echo, err=json_)
    say("\n" + matrix_table([(t.report, t.rows, t.seconds, t.megabytes) for t in trained]) + "\n")
    asked = {}
    with server(folder) as (base, process):
        for sentence in SENTENCES:
            asked[sentence] = ask_all(base, sentence, [t.bundle.name for t in trained if t.reads_text])
            say(answers_text(sentence, asked[sentence]))
        say(next_steps(folder, base if keep else None))
        if keep:
            process.wait()
    if json_:
        _print_json({"products": [bundle_dict(t.bundle) for t in trained], "asked": asked})
