"""`trunkline tune`: what the command says of a search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trunkline.commands.group import FOLDER, as_json, emit, main, product_of

if TYPE_CHECKING:
    from trunkline.proof.tuned import Choice, Tried, Tuned
    from trunkline.tuning.search import Done

SHOWN = 5  # of the trials; all are in tune.json


@main.command()
@FOLDER
@click.option("--trials", type=click.IntRange(1), help="Settings that are tried, in place of tune.trials.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="No trial is begun after so long, in place of tune.seconds.")
@click.option("--jobs", type=click.IntRange(1, 64), help="Processes that try side by side, a core each; default: all cores.")
@click.option("--write", is_flag=True, help="Write the settings found into product.toml; its comments stay.")
@as_json
def tune(folder: Path, trials: int | None, seconds: float | None, jobs: int | None, write: bool, json_: bool) -> None:
    """Search the settings of a product on its training rows.

    The test rows are never looked at. Stopped or killed, the same command goes on where it was.
    """
    from trunkline.terminal import Terminal

    product = product_of(folder)
    try:
        done = product.tune(Terminal(), jobs=jobs, trials=trials, seconds=seconds)
    except KeyboardInterrupt:
        click.echo(f"\nthe trials that had ended are kept; go on: trunkline tune {folder}", err=True)
        raise
    wrote = write and product.write_tuned(done.tuned)
    emit(json_, told(done, wrote), "\n".join(_lines(done, folder, wrote)))


def told(done: Done, wrote: bool) -> dict[str, Any]:
    """tune.json's content and what is only of this run."""
    import msgspec

    return {**msgspec.to_builtins(done.tuned), "ran": done.ran, "ran_seconds": done.seconds, "wrote": wrote}


def _lines(done: Done, folder: Path, wrote: bool) -> list[str]:
    """At most 12."""
    from trunkline.proof.tuned import AS_IT_IS
    from trunkline.terminal import table

    tuned = done.tuned
    rows = [_row(tuned, trial) for trial in tuned.ranked[:SHOWN]]
    if not any(trial.number == AS_IT_IS for trial in tuned.ranked[:SHOWN]):
        rows.append(_row(tuned, tuned.trial(AS_IT_IS)))
    lines = [*table(["trial", tuned.metric, "method", "settings"], rows, right=(0, 1)).splitlines()]
    if tuned.importance:
        lines.append("matters most: " + ", ".join(f"{name} {share:.0%}" for name, share in list(tuned.importance.items())[:4]))
    return [*lines, *_ends(done), *_gain(tuned), _next(tuned, folder, wrote)]


def _row(tuned: Tuned, trial: Tried) -> list[str]:
    from trunkline.proof.tuned import AS_IT_IS

    name = "as it is" if trial.number == AS_IT_IS else str(trial.number)
    return [name, figure(tuned, trial.value), trial.choice.method, settings_text(trial.choice)]


def figure(tuned: Tuned, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2%}" if tuned.unit == "%" else f"{value:.4g}"


def settings_text(choice: Choice) -> str:
    """`rate 0.001, size small, text trunk e5-small`; what is not named chooses itself."""
    parts = [f"{name} {value}" for name, value in choice.settings.items()]
    return ", ".join([*parts, *(f"{kind} trunk {name}" for kind, name in choice.trunks.items())]) or "its own"


def _ends(done: Done) -> list[str]:
    """How many trials ended how, and how fast they went."""
    counts = {state: [t for t in done.tuned.trials if t.state == state] for state in ("done", "pruned", "failed")}
    said = f"{len(counts['done']) - 1} tried, {len(counts['pruned'])} cut short, {len(counts['failed'])} failed"
    if done.ran:
        said += f"; {done.ran} of them now, {done.ran / max(done.seconds, 1e-9):,.2g} a second"
    if counts["failed"]:
        said += f"\n  trial {counts['failed'][0].number} failed: {counts['failed'][0].why[:150]}"
    return [said]


def _gain(tuned: Tuned) -> list[str]:
    if tuned.gain is None:
        return ["nothing was better than the product as it is"]
    gain, clear = tuned.gain, "" if tuned.gain.low > 0 else ": no clear gain, the settings it has are as good"
    share = 100 if tuned.unit == "%" else 1
    unit = " points" if tuned.unit == "%" else ""
    value, low, high = (f"{share * number:+.3g}" for number in (gain.value, gain.low, gain.high))
    return [f"over the product as it is {value}{unit} ({low} to {high}), on folds of another seed{clear}"]


def _next(tuned: Tuned, folder: Path, wrote: bool) -> str:
    if wrote:
        return f"wrote {folder / 'product.toml'}; next: trunkline train {folder}"
    if tuned.gain is None or tuned.gain.low <= 0:
        return f"next: trunkline train {folder}"
    return f"next: trunkline tune {folder} --write"
