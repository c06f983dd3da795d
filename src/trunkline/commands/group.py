"""What every command has: the group, its errors and exit codes, `--json`, the folder of a product.

Exit codes: 0 done, 2 an error, 3 trained but the gate failed, 130 interrupted, 141 nobody reads on.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from trunkline import __version__
from trunkline.errors import GateFailed, TrunklineError, UsageError
from trunkline.files import remedy

if TYPE_CHECKING:
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
        fault = TrunklineError("this can't be read or written", where=str(error.filename or ""), found=error.strerror or str(error), hint=remedy(error))
        _tell(ctx, fault)
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
        print_json(error.as_dict())
    else:
        click.echo(error_lines(error, sys.stderr), err=True)
    ctx.exit(error.exit_code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="trunkline")
def main() -> None:
    """Declare AI products in a file; train, prove and serve them on one shared model."""


def as_json(command: F) -> F:
    return click.option("--json", "json_", is_flag=True, help="One JSON object on stdout.")(command)


def registry_option(command: F) -> F:
    told = "Address of the store that says which versions serve, for many machines; default: each folder says it."
    return click.option("--registry", envvar="TRUNKLINE_REGISTRY", help=told)(command)


def product_of(folder: Path, registry: str | None = None) -> Product:
    from trunkline.product import Product

    return Product(folder, registry=registry)


def emit(json_: bool, value: Mapping[str, Any], text: str) -> None:
    if json_:
        print_json(value)
    else:
        click.echo(text)


def print_json(value: Any) -> None:
    import orjson

    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode())


def exit_by_gate(report: Mapping[str, Any]) -> None:
    if not report["verdict"]["passed"]:
        sys.exit(GateFailed.exit_code)
