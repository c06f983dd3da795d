"""`trunkline queue`: the commands. What they do is in `waiting` and `runner`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import click

from trunkline.commands.group import F, as_json, emit, main

_STATES = {"queued": "waits", "running": "runs", "done": "done", "failed": "failed", "cancelled": "cancelled"}


def _at(command: F) -> F:
    command = click.option("--store", help="Address of the store; default: the one in the folder, made if need be.")(command)
    help_ = "Folder that the queue belongs to; default: this one."
    return click.option("--at", type=click.Path(path_type=Path), default=Path(), help=help_)(command)


@main.group()
def queue() -> None:
    """Trainings that wait for their turn on this machine, within limits."""


@queue.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--cores", default=1, show_default=True, type=click.IntRange(1, 64), help="Its own while it runs.")
@click.option("--memory", default=4.0, show_default=True, type=click.FloatRange(0.1), help="GB; past it the job is ended.")
@click.option("--gpus", default=0, show_default=True, type=click.IntRange(0), help="Graphics cards of its own.")
@click.option("--priority", default=0, show_default=True, help="The higher goes first; among equals whoever came first.")
@_at
@as_json
@click.pass_context
def add(
    context: click.Context, words: tuple[str, ...], cores: int, memory: float, gpus: int, priority: int, at: Path, store: str | None, json_: bool
) -> None:
    """Queue a command: trunkline queue add train FOLDER. WORDS are checked now, and run later from this folder."""
    from trunkline.queue import waiting
    from trunkline.spec import load_spec

    root = context.find_root().command
    known = root.get_command(context, words[0]) if isinstance(root, click.Group) and words[0] in waiting.COMMANDS else None
    if known is not None:
        said = known.make_context(words[0], list(words[1:]), parent=context.find_root())
        if "folder" in said.params:
            load_spec(said.params["folder"])
    what = waiting.Wanted(
        words=list(words), folder=str(Path.cwd()), cores=cores, memory_mb=round(1000 * memory), gpus=gpus, priority=priority
    )
    made = waiting.add(at, what, store)
    emit(json_, made, f"{made['id'][:8]} waits; trunkline queue run begins what waits")


@queue.command()
@click.argument("id_", metavar="ID")
@_at
@as_json
def cancel(id_: str, at: Path, store: str | None, json_: bool) -> None:
    """End a job, waiting or running; its last checkpoint stays."""
    from trunkline.queue import waiting

    _tell(json_, waiting.cancel(at, id_, store))


@queue.command()
@click.argument("id_", metavar="ID")
@_at
@as_json
def resume(id_: str, at: Path, store: str | None, json_: bool) -> None:
    """Queue a job that failed or was cancelled again; it goes on from its last checkpoint."""
    from trunkline.queue import waiting

    _tell(json_, waiting.resume(at, id_, store))


def _tell(json_: bool, job: dict[str, Any]) -> None:
    emit(json_, job, f"{job['id'][:8]} {_STATES[job['state']]}")


@queue.command()
@click.option("--cores", type=click.IntRange(1), help="For all jobs together; default: all.")
@click.option("--memory", type=click.FloatRange(0.1), help="GB for all jobs together; default: nine tenths of the machine's.")
@click.option("--gpus", type=click.IntRange(0), help="Graphics cards for all jobs together; default: all.")
@click.option("--until-empty", is_flag=True, help="Stop when nothing waits; default: go on until Ctrl-C.")
@_at
def run(cores: int | None, memory: float | None, gpus: int | None, until_empty: bool, at: Path, store: str | None) -> None:
    """Run what waits, behind everything else on the machine. Ctrl-C puts jobs under way back."""
    from trunkline.queue.runner import Limits, Runner, machine

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as a service manager stops it
    there = machine()
    limits = Limits(
        there.cores[:cores], there.memory_mb if memory is None else round(1000 * memory), there.gpus[:gpus]
    )
    Runner(at, limits, lambda line: click.echo(line, err=True), store).run(until_empty)


@queue.command("list")
@_at
@as_json
def list_(at: Path, store: str | None, json_: bool) -> None:
    """What runs, what waits in which order, and what ended in the last 30 days."""
    from trunkline.queue import waiting

    found = waiting.listed(at, store)
    emit(json_, {"jobs": found}, "\n".join(_line(job) for job in found) or "nothing waits")


@queue.command()
@click.argument("id_", metavar="ID")
@_at
def log(id_: str, at: Path, store: str | None) -> None:
    """What a job said so far."""
    from trunkline.queue import waiting

    file = waiting.log_of(at, id_, store)
    click.echo(file.read_text(encoding="utf-8", errors="replace") if file.exists() else "", nl=False)


def _line(job: dict[str, Any]) -> str:
    room = f"{job['cores']} cores {job['memory_mb'] / 1000:g} GB" + (f" {job['gpus']} gpus" if job["gpus"] else "")
    fault = (job["result"] or {}).get("what", "")
    return f"{job['id'][:8]}  {_STATES[job['state']]:<9}  {job['priority']:>3}  {room:<14}  {job['command']}{fault and '  - ' + fault}"
