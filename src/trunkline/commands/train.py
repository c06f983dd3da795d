"""`trunkline train`, `evaluate`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from trunkline.commands.group import FOLDER, as_json, emit, exit_by_gate, main, product_of, registry_option


@main.command()
@FOLDER
@click.option("--processes", type=click.IntRange(1, 64), help="Processes that learn a network together; default: 1.")
@click.option("--on", "on", type=click.Choice(["ray"]), help="The processes are a Ray cluster's: $RAY_ADDRESS, else one made here.")
@click.option("--profile", is_flag=True, help="Name the slowest station, and trace what networks spend their time on.")
@registry_option
@as_json
def train(folder: Path, processes: int | None, on: str | None, profile: bool, registry: str | None, json_: bool) -> None:
    """Check, learn, prove, judge and pack. Nothing goes live by itself."""
    from trunkline.spec import load_spec
    from trunkline.terminal import Terminal
    from trunkline.training import launch, parallel
    from trunkline.views import bundle_dict, bundle_text

    if on is not None:
        from trunkline.on_ray.training import train_on_ray

        bundle = product_of(folder).bundle(train_on_ray(folder, processes or 1, registry, profile))
        emit(json_, bundle_dict(bundle), bundle_text(bundle))
        return exit_by_gate(bundle.report)
    if processes is not None and processes > 1 and parallel.size() == 1:
        load_spec(folder)  # a mistake in it is told once, and not by each process
        sys.exit(launch.run(processes, ["train", str(folder), *(["--registry", registry] if registry else []), *(["--profile"] if profile else []), *(["--json"] if json_ else [])]))
    if parallel.rank():
        return product_of(folder, registry).follow()
    bundle = product_of(folder, registry).train(progress=Terminal(), profile=profile)
    emit(json_, bundle_dict(bundle), bundle_text(bundle))
    if parallel.size() == 1 or launch.tells():  # else a failed gate would look to torchrun like a crash, and be tried again
        exit_by_gate(bundle.report)
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

    product = product_of(folder)
    bundle = product.bundle(version)
    report = product.evaluate(data, version=bundle.version, progress=Terminal())
    page = "" if data else str(bundle.folder / "report.html")  # other rows have no page of their own
    mistakes = mistakes_text(report) if data else ""
    emit(json_, report, "\n".join(filter(None, [report_text(report, page, bundle.version), mistakes])))
    exit_by_gate(report)
