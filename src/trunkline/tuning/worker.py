"""A process that runs trials: `python -m trunkline.tuning.worker DESCRIPTOR`, started by `workers.Workers`.

Told in JSON lines: first the product, then a trial at a time with what it may know of the others.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from trunkline.data.read import read_training
from trunkline.desk import Desk
from trunkline.errors import DataError, TrunklineError
from trunkline.features import Features
from trunkline.files import turn
from trunkline.spec import dump_spec, parse_spec
from trunkline.tasks import TASKS
from trunkline.tuning.space import space_of
from trunkline.tuning.trial import Bench, Outcome, run
from trunkline.tuning.workers import Message, Parent
from trunkline.types import Ask, Call, Outputs

WAIT = 86_400.0  # seconds, while another process encodes the same rows


def start_message(bench: Bench, folder: Path, digest: str, features: Features) -> Message:
    """What a worker makes the same bench of. digest: of the rows."""
    return {
        "spec": dump_spec(bench.spec), "folder": str(folder), "digest": digest, "most": bench.most,
        "features": str(features.folder), "bytes": features.max_bytes,
    }  # fmt: skip


def trial_message(number: int, past: Sequence[Outcome]) -> Message:
    return {"number": number, "past": msgspec.to_builtins(past, str_keys=True)}


def bench_of(told: Message) -> Bench:
    """Raises DataError where the rows aren't those that the search began with, and what reading them raises."""
    spec, folder = parse_spec(told["spec"]), Path(told["folder"])
    task = TASKS.get(spec.task)()
    examples, digest = read_training(spec, task, folder)
    if digest != told["digest"]:
        raise DataError("the rows changed during the search", where=str(folder), hint="run it again: a new search begins")
    desk = Desk(Features(Path(told["features"]), told["bytes"]))
    return Bench(spec, task, examples, space_of(spec, examples), in_turn(desk.ask(), desk.features.folder), told["most"])


def in_turn(ask: Ask, folder: Path) -> Ask:
    """The same, but an engine's first rows are asked for by one process at a time: the others then find them in the
    cache instead of encoding them too."""
    known: set[str] = set()

    def asked(calls: Sequence[Call]) -> Outputs:
        new = {call.engine for call in calls} - known
        if not new:
            return ask(calls)
        with turn(folder / "first.lock", WAIT):
            found = ask(calls)
        known.update(new)
        return found

    return asked


def main(descriptor: int) -> None:
    parent = Parent(descriptor)
    try:
        bench = bench_of(parent.next())
    except TrunklineError as error:
        parts = ("what", "where", "found", "wanted", "hint")
        parent.say({"error": {part: getattr(error, part) for part in parts}})
        return
    parent.say({"ready": True})
    while True:
        told = parent.next()
        past = msgspec.convert(told["past"], list[Outcome], strict=False)

        def trial(number: int = told["number"], past: list[Outcome] = past) -> Any:
            return msgspec.to_builtins(run(bench, number, past), str_keys=True)

        parent.say(parent.during(trial))


if __name__ == "__main__":
    main(int(sys.argv[1]))
