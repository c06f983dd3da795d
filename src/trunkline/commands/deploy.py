"""`trunkline deploy`, `rollback`, `status`, `compare`: which version serves."""

from __future__ import annotations

from pathlib import Path

import click

from trunkline.commands.group import FOLDER, as_json, emit, main, product_of, registry_option


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

    product_of(folder)
    if explain is not None:
        if version is not None or canary is not None or shadow or override is not None:
            raise click.UsageError("--explain goes alone: it changes nothing of what serves")
        done = deploying.explanations(folder, explain == "on", registry)
        return emit(json_, done, f"explanations are {explain}; a running server follows within seconds")
    share = deploying.share(canary) if canary is not None else None
    done = deploying.deploy(folder, version, canary=share, shadow=shadow, override=override, registry=registry)
    return emit(json_, done, f"{done['version']} is {done['role']}; a running server follows within seconds")


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
    emit(json_, done, f"{done['live']} is live; a running server follows within seconds")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@registry_option
@as_json
def status(folder: Path, registry: str | None, json_: bool) -> None:
    """What serves in every product at or below FOLDER, what its traffic measured, and the newest changes."""
    from trunkline import deploying
    from trunkline.views import status_text

    found = deploying.status(folder, registry)
    emit(json_, found, status_text(found))


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
    emit(json_, found, compare_text(found))
