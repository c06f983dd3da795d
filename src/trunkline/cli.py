"""The commands. Each is a few lines that call the library; anything printed and any exit code is here.

Exit codes: 0 done, 2 an error, 3 trained but the gate failed, 130 interrupted, 141 nobody reads on.
"""

from __future__ import annotations

import functools
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from trunkline import __version__
from trunkline.encoding_command import command as encoding
from trunkline.engines.batching import ROWS, ROWS_VARIABLE, TOKENS, TOKENS_VARIABLE
from trunkline.engines.threads import THREADS_VARIABLE
from trunkline.errors import DataError, GateFailed, TrunklineError, UsageError
from trunkline.files import remedy
from trunkline.keys import keys
from trunkline.pretraining.command import command as pretraining
from trunkline.queue.command import command as queue
from trunkline.shrink.command import command as shrinking
from trunkline.tuning.command import command as tuning
from trunkline.why import command as why

if TYPE_CHECKING:
    from trunkline.exporting.portable import Target
    from trunkline.product import Product

F = TypeVar("F", bound=Callable[..., Any])
_JSON = "trunkline.json"
_PIPE_CLOSED = 141  # 128 + SIGPIPE, what a shell reports
FOLDER = click.argument("folder", type=click.Path(path_type=Path))


class Commands(click.Group):
    """Turns every error into its lines (or, with --json, an object) and its exit code."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Noted before anything is parsed: a command line that can't be parsed is an error to print too.
        ctx.meta[_JSON] = "--json" in itertools.takewhile(lambda word: word != "--", args)
        with _told(ctx), _unmasked():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _told(ctx), _unmasked():
            return super().invoke(ctx)


@contextmanager
def _told(ctx: click.Context) -> Iterator[None]:
    try:
        yield
    except TrunklineError as error:
        _tell(ctx, error)
    except click.UsageError as error:
        if isinstance(error, click.exceptions.NoArgsIsHelpError) and not ctx.meta[_JSON]:
            raise  # click prints the help
        told = error.format_message().rstrip(".")
        _tell(ctx, UsageError(told[0].lower() + told[1:], hint=f"{(error.ctx or ctx).command_path} --help"))
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  what Python flushes at its end
        ctx.exit(_PIPE_CLOSED)
    except OSError as error:
        told = TrunklineError("this can't be read or written", where=str(error.filename or ""), found=error.strerror or str(error), hint=remedy(error))
        _tell(ctx, told)
    except KeyboardInterrupt:
        click.echo("\nstopped; the last good state is untouched", err=True)
        ctx.exit(130)


@contextmanager
def _unmasked() -> Iterator[None]:
    """Ctrl-C while a library in C++ is imported comes out as an ImportError, or as what was made of that."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, KeyboardInterrupt):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise KeyboardInterrupt from error
        raise


def _tell(ctx: click.Context, error: TrunklineError) -> NoReturn:
    from trunkline.terminal import error_lines

    if ctx.meta[_JSON]:
        _print_json(error.as_dict())
    else:
        click.echo(error_lines(error, sys.stderr), err=True)
    ctx.exit(error.exit_code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trunkline")
def main() -> None:
    """Declare AI products in a file; train, prove and serve them on one shared model."""


def as_json(command: F) -> F:
    return click.option("--json", "json_", is_flag=True, help="One JSON object on stdout.")(command)


def _print_json(value: Any) -> None:
    import orjson

    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode())


def registry_option(command: F) -> F:
    told = "Address of the store that says which versions serve, for many machines; default: each folder says it."
    return click.option("--registry", envvar="TRUNKLINE_REGISTRY", help=told)(command)


def _product(folder: Path, registry: str | None = None) -> Product:
    from trunkline.product import Product

    return Product(folder, registry=registry)


def _emit(json_: bool, value: Mapping[str, Any], text: str) -> None:
    if json_:
        _print_json(value)
    else:
        click.echo(text)


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
@as_json
def schema(json_: bool) -> None:
    """Print the JSON Schema of product.toml, for editors: JSON in any case."""
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
@click.option("--processes", type=click.IntRange(1, 64), help="Processes that learn a network together; default: 1.")
@click.option("--on", "on", type=click.Choice(["ray"]), help="The processes are a Ray cluster's: $RAY_ADDRESS, else one made here.")
@click.option("--profile", is_flag=True, help="Name the slowest station, and trace what networks spend their time on.")
@registry_option
@as_json
def train(folder: Path, processes: int | None, on: str | None, profile: bool, registry: str | None, json_: bool) -> None:
    """Check, learn, prove, judge and pack. Nothing goes live by itself."""
    from trunkline.terminal import Terminal
    from trunkline.training import launch, parallel
    from trunkline.views import bundle_dict, bundle_text

    if on is not None:
        from trunkline.on_ray.training import train_on_ray

        bundle = _product(folder).bundle(train_on_ray(folder, processes or 1, registry, profile))
        _emit(json_, bundle_dict(bundle), bundle_text(bundle))
        return _exit_by_gate(bundle.report)
    if processes is not None and processes > 1 and parallel.size() == 1:
        sys.exit(launch.run(processes, ["train", str(folder), *(["--registry", registry] if registry else []), *(["--profile"] if profile else []), *(["--json"] if json_ else [])]))
    if parallel.rank():
        return _product(folder, registry).follow()
    bundle = _product(folder, registry).train(progress=Terminal(), profile=profile)
    _emit(json_, bundle_dict(bundle), bundle_text(bundle))
    if parallel.size() == 1 or launch.tells():  # else a failed gate would look to torchrun like a crash, and be tried again
        _exit_by_gate(bundle.report)
    return None


@main.command()
@FOLDER
@click.option("--data", type=click.Path(path_type=Path), help="Other rows with labels; default: the test part.")
@click.option("--version", "version", help="Bundle to prove, like v3; default: the newest.")
@as_json
def evaluate(folder: Path, data: Path | None, version: str | None, json_: bool) -> None:
    """The same proof on other rows."""
    from trunkline.terminal import Terminal
    from trunkline.views import mistakes_text, report_text

    product = _product(folder)
    bundle = product.bundle(version)
    report = product.evaluate(data, version=bundle.version, progress=Terminal())
    page = "" if data else str(bundle.folder / "report.html")  # other rows have no page of their own
    mistakes = mistakes_text(report) if data else ""
    _emit(json_, report, "\n".join(filter(None, [report_text(report, page, bundle.version), mistakes])))
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
    """Answer one text or picture, the rows of a file, or JSON lines on stdin; one JSON line an answer."""
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


@main.command()
@FOLDER
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that answer.")
@click.option("--certificate", type=click.Path(path_type=Path), help="TLS: certificate chain, a PEM file.")
@click.option("--key", type=click.Path(path_type=Path), help="TLS: its private key, a PEM file.")
@click.option("--store", help="Address of the store of keys; default: the one in FOLDER, if there is one.")
@registry_option
@click.option("--threads", type=click.IntRange(1, 64), help="Cores that each process computes on; default: measured.")
@click.option("--batch-rows", type=click.IntRange(*ROWS), help="Rows in a batch, at most; default: measured.")
@click.option("--batch-tokens", type=click.IntRange(*TOKENS), help="Tokens in a batch, at most; default: measured.")
@click.option("--on", "on", type=click.Choice(["ray"]), help="Compute on replicas of a Ray cluster: $RAY_ADDRESS, else one made here.")
@click.option("--replicas", metavar="N-M", default="1-4", help="Of each trunk, at least and at most (with --on); default: 1-4.")
@click.option("--traces", metavar="URL", help="Collector of OpenTelemetry traces, OTLP over HTTP; default: OTEL_* variables'.")
@as_json
def serve(
    folder: Path,
    host: str,
    port: int,
    workers: int,
    certificate: Path | None,
    key: Path | None,
    store: str | None,
    registry: str | None,
    threads: int | None,
    batch_rows: int | None,
    batch_tokens: int | None,
    on: str | None,
    replicas: str,
    traces: str | None,
    json_: bool,
) -> None:
    """Serve every product below FOLDER: API, docs at /docs."""
    from trunkline.serve.run import serve as run

    given = {THREADS_VARIABLE: threads, ROWS_VARIABLE: batch_rows, TOKENS_VARIABLE: batch_tokens}
    fixed = {name: number for name, number in given.items() if number is not None}
    cluster = None
    if on is not None:
        from trunkline.serve.on_ray.cluster import RayCluster

        cluster = RayCluster(folder, replicas, threads)
    run(folder, host, port, workers, certificate, key, store, registry, json_, fixed, traces, cluster)


@main.command()
@FOLDER
@click.argument("version", required=False)
@click.option("--canary", metavar="SHARE", help="Only for a share of the end users, like 10%.")
@click.option("--shadow", is_flag=True, help="Ask it too and compare; its answers are never returned.")
@click.option("--override", metavar="REASON", help="Deploy although the gate failed; kept on record.")
@click.option("--explain", type=click.Choice(["on", "off"]), help="Only let callers ask why, or no more; what serves stays.")
@registry_option
@as_json
def deploy(
    folder: Path,
    version: str | None,
    canary: str | None,
    shadow: bool,
    override: str | None,
    explain: str | None,
    registry: str | None,
    json_: bool,
) -> None:
    """Name the bundle that serves: VERSION, or the newest. A running server follows within seconds."""
    from trunkline import deploying

    _product(folder)
    if explain is not None:
        if version is not None or canary is not None or shadow or override is not None:
            raise click.UsageError("--explain goes alone: it changes nothing of what serves")
        done = deploying.explanations(folder, explain == "on", registry)
        return _emit(json_, done, f"explanations are {explain}; a running server follows within seconds")
    share = deploying.share(canary) if canary is not None else None
    done = deploying.deploy(folder, version, canary=share, shadow=shadow, override=override, registry=registry)
    return _emit(json_, done, f"{done['version']} is {done['role']}; a running server follows within seconds")


@main.command()
@FOLDER
@click.option("--shadow", is_flag=True, help="Only end the shadow; what is live stays.")
@click.option("--reason", default="", help="Kept on record.")
@registry_option
@as_json
def rollback(folder: Path, shadow: bool, reason: str, registry: str | None, json_: bool) -> None:
    """End a canary; without one, return to what was live before."""
    from trunkline import deploying

    done = deploying.rollback(folder, reason, shadow, registry)
    _emit(json_, done, f"{done['live']} is live; a running server follows within seconds")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@registry_option
@as_json
def status(folder: Path, registry: str | None, json_: bool) -> None:
    """What serves in every product at or below FOLDER, what its traffic measured, and the newest changes."""
    from trunkline import deploying
    from trunkline.views import status_text

    found = deploying.status(folder, registry)
    _emit(json_, found, status_text(found))


@main.command()
@FOLDER
@click.argument("first")
@click.argument("second")
@as_json
def compare(folder: Path, first: str, second: str, json_: bool) -> None:
    """Two versions by their own reports, before any traffic."""
    from trunkline import deploying
    from trunkline.views import compare_text

    found = deploying.compare(folder, first, second)
    _emit(json_, found, compare_text(found))


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
        needs = _product(folder).export_for(target, place, version)
        _emit(json_, needs.as_dict(), needs.as_text(place))
        return
    if target is not None or place is not None:
        raise click.UsageError("--for and --to go together, without --output and --with-rows")
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


main.add_command(keys)
main.add_command(pretraining(_emit, as_json))
main.add_command(queue(_emit, as_json))
main.add_command(why(as_json, _rows, _emit))
main.add_command(shrinking(_emit, as_json, _product))
main.add_command(tuning(_emit, as_json))
main.add_command(encoding(_emit, as_json))
