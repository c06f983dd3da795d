"""`trunkline shrink`: a product's bundle made smaller, and what each form tried costs and loses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trunkline.commands.group import FOLDER, as_json, emit, main, product_of
from trunkline.errors import GateFailed
from trunkline.terminal import table

if TYPE_CHECKING:
    from trunkline.shrink.measure import Loss
    from trunkline.shrink.run import Outcome, Tried
    from trunkline.types import Estimate

NAMES = ("bf16", "int8", "pruned", "head", "words", "layers")  # of `run.FORMS`, in its order


@main.command()
@FOLDER
@click.option("--version", "version", help="Bundle to start from, like v3; default: the newest.")
@click.option("--loss", "limit", default=0.5, show_default=True, help="Points of the primary metric that may be lost; percent where it is no share.")
@click.option("--only", "names", multiple=True, type=click.Choice(NAMES), help="Try only this form; may be given several times.")
@click.option("--calibration", type=click.Path(path_type=Path), help="Rows with answers that fix the scales of int8 convolutions; default: training rows.")
@click.option("--rows", "rows", type=click.Path(path_type=Path), help="The product's own rows without answers: a smaller network learns from them too.")
@as_json
def shrink(
    folder: Path, version: str | None, limit: float, names: tuple[str, ...], calibration: Path | None, rows: Path | None, json_: bool
) -> None:
    """Try smaller forms of a bundle, from the cheapest to make on; the cheapest to run that loses little becomes a bundle."""
    from trunkline.terminal import Terminal

    found: Outcome = product_of(folder).shrink(version, limit, names, calibration, rows, progress=Terminal())
    emit(json_, outcome_dict(found), outcome_text(found, limit, folder))
    if found.bundle is None or not found.bundle.manifest.passed:
        sys.exit(GateFailed.exit_code)


def outcome_dict(found: Outcome) -> dict[str, Any]:
    return {
        "version": found.version, "rows": found.rows, "bytes": found.size_before, "tried": [_tried_dict(each) for each in found.tried],
        "chosen": found.chosen, "test": found.test and _loss_dict(found.test), "bundle": found.bundle and found.bundle.version,
        "note": found.note,
    }  # fmt: skip


def _tried_dict(tried: Tried) -> dict[str, Any]:
    told: dict[str, Any] = {"form": tried.name, "seconds": round(tried.seconds, 1)}
    if tried.loss is None or tried.costs is None:
        return {**told, "why": tried.why}
    spent = {"ms_before": tried.costs.before, "ms_after": tried.costs.after, "times_faster": tried.costs.times}
    return {**told, "bytes": tried.size_bytes, **_loss_dict(tried.loss), **{name: _interval(each) for name, each in spent.items()}}


def _loss_dict(loss: Loss) -> dict[str, Any]:
    return {"before": _interval(loss.before), "after": _interval(loss.after), "points_lost": _interval(loss.points)}


def _interval(estimate: Estimate) -> dict[str, float | int]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def outcome_text(found: Outcome, limit: float, folder: Path) -> str:
    """A line a form, what was chosen, and what the test rows say of it."""
    measured = [each for each in found.tried if each.loss is not None and each.costs is not None]
    lines = []
    if measured:
        first = measured[0]
        assert first.loss is not None
        assert first.costs is not None
        rows = [[f"{found.version} as it is", _metric(first.loss, first.loss.before), "", _megabytes(found.size_before), _told(first.costs.before), ""]]
        for each in measured:
            assert each.loss is not None
            assert each.costs is not None
            rows.append([
                each.name, _metric(each.loss, each.loss.after), _told(each.loss.points), _megabytes(each.size_bytes), _told(each.costs.after),
                _told(each.costs.times),
            ])  # fmt: skip
        lines.append(table(["form", f"on {found.rows} held-out rows", "lost", "size", "ms a call", "times faster"], rows))
    lines += [f"{each.name}: {each.why}" for each in found.tried if each.loss is None]
    lines += [found.note] if found.note else []
    return "\n".join([*lines, *_ending(found, limit, folder)])


def _ending(found: Outcome, limit: float, folder: Path) -> list[str]:
    if found.test is None:
        return [f"nothing was put on the shelf: no form is clearly smaller or faster and loses {limit:g} or less"]
    said = f"on {found.test.points.n} test rows {found.chosen} loses {_told(found.test.points)}"
    if found.bundle is None:
        return [f"nothing was put on the shelf: {said}, over {limit:g}"]
    version = found.bundle.version
    if not found.bundle.manifest.passed:
        return [said, f"{version} is on the shelf; its gate failed: {found.bundle.folder / 'report.html'}"]
    return [said, f"{version} is on the shelf; next: trunkline deploy {folder} {version}"]


def _metric(loss: Loss, estimate: Estimate) -> str:
    value, low, high = (100 * end if loss.unit == "%" else end for end in (estimate.value, estimate.low, estimate.high))
    return f"{value:.4g}{' %' if loss.unit == '%' else ''} ({low:.4g} to {high:.4g})"


def _told(estimate: Estimate) -> str:
    return f"{estimate.value:.3g} ({estimate.low:.3g} to {estimate.high:.3g})"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"
