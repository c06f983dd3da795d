"""`trunkline demo`."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from trunkline.commands.group import as_json, main, print_json


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
        print_json({"products": [bundle_dict(t.bundle) for t in trained], "asked": asked})
