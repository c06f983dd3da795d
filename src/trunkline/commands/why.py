"""`trunkline why`: an answer, and the parts of its row that pushed it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from trunkline.commands.group import FOLDER, as_json, main, print_json, product_of
from trunkline.commands.predict import rows_of

BAR = 12  # signs of the longest bar
NAME = 100  # signs of a reason's name that are shown: of a long text a part may be pages of it


@main.command()
@FOLDER
@click.argument("text", required=False)
@click.option("--file", "file", type=click.Path(path_type=Path), help="Rows from a csv, jsonl or parquet file.")
@click.option("--label", help="Explain this label, whatever the answer is.")
@click.option("--method", default="auto", show_default=True, help="auto, sum (exact, where the head is one), occlusion, cam (pictures) or lime.")
@click.option("--budget", type=int, help="Rows computed for a reason at most; default: 26; lime 200.")
@click.option("--top", default=10, show_default=True, help="Reasons given, the heaviest.")
@click.option("--version", "version", help="Bundle to ask, like v3; default: the newest.")
@as_json
def why(
    folder: Path, text: str | None, file: Path | None, label: str | None, method: str, budget: int | None, top: int,
    version: str | None, json_: bool,
) -> None:  # fmt: skip
    """Say what pushed the answer to one text or picture, to the rows of a file, or to JSON lines on stdin."""
    answers = product_of(folder).why(rows_of(folder, text, file), version, label=label, method=method, budget=budget, top=top)
    if json_:
        print_json({"answers": list(answers)})
        return
    for answer in answers:
        click.echo(told(answer))


def told(answer: Mapping[str, Any]) -> str:
    """One answer for people: what is explained, then a line a reason with a bar, + for and - against."""
    if "why" not in answer:
        said = answer.get("why_not", answer)
        return f"{answer['id']}: {answer['status']}, no reasons: {said.get('message', '')}"
    why = answer["why"]
    share = f" ({why['probability']:.1%})" if "probability" in why else ""
    about = why["of"] or f"{why['figure']:.6g}"
    lines = [f"{answer['id']}: {answer['status']}, why {about}{share}"]
    longest = max((abs(reason["weight"]) for reason in why["reasons"]), default=0.0) or 1.0
    several = len({reason["column"] for reason in why["reasons"]}) > 1
    for reason in why["reasons"]:
        sign = "+" if reason["weight"] >= 0 else "-"
        bar = sign * max(1, round(BAR * abs(reason["weight"]) / longest)) if reason["weight"] else ""
        without = f"  without it {_figure(reason['without'], why['unit'])}" if "without" in reason else ""
        name = f"{reason['column']}: {reason['name']}" if several and reason["kind"] != "column" else reason["name"]
        lines.append(f"  {bar:<{BAR}} {reason['weight']:+8.3f}  {_shown(name)}{without}")
    return "\n".join(lines)


def _shown(name: str) -> str:
    line = " ".join(name.split())
    return line if len(line) <= NAME else f"{line[: NAME // 2]} … {line[-NAME // 2 :]}"


def _figure(number: float, unit: str) -> str:
    return f"{number:.1%}" if unit in ("log_odds", "probability") else f"{number:.6g}"
