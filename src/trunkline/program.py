"""Drivers of programs: step many products' programs together and merge what they ask for.

A head's program yields Calls, is sent their outputs, and ends in a Prediction. Training drives it
through the feature cache, `predict` and the server through engines; all through `drive`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trunkline.types import Ask, Call, End, Outputs, Steps, Value

Key = Callable[[Call, Value], bytes]


def together(programs: Sequence[Steps[End]]) -> Steps[list[End | Exception]]:
    """Many programs as one, stepped in lockstep; it ends in their ends, in order.

    A program that raises ends with its exception in its place; the others go on. An exception thrown in
    (the calls could not be answered) ends every program that was waiting.
    """
    ends: dict[int, End | Exception] = {}
    waiting: dict[int, Sequence[Call]] = {}
    for i, program in enumerate(programs):
        _step(i, program, None, waiting, ends)
    while waiting:
        asked, waiting = waiting, {}
        try:
            outputs = iter((yield [call for calls in asked.values() for call in calls]))
        except Exception as error:  # noqa: BLE001 - each waiting product answers with it
            for i in asked:
                programs[i].close()
                ends[i] = error
            break
        for i, calls in asked.items():
            _step(i, programs[i], [next(outputs) for _ in calls], waiting, ends)
    return [ends[i] for i in range(len(programs))]


def drive(programs: Sequence[Steps[End]], ask: Ask) -> list[End | Exception]:
    """Run programs to their ends `together`, so that calls of all products meet in one `ask`."""
    joint = together(programs)
    try:
        calls = next(joint)
        while True:
            try:
                outputs = ask(calls)
            except Exception as error:  # noqa: BLE001 - becomes the answer of every program that waited
                calls = joint.throw(error)
            else:
                calls = joint.send(outputs)
    except StopIteration as end:
        ends: list[End | Exception] = end.value
        return ends


def _step(
    i: int,
    program: Steps[End],
    outputs: Outputs | None,
    waiting: dict[int, Sequence[Call]],
    ends: dict[int, End | Exception],
) -> None:
    try:
        waiting[i] = next(program) if outputs is None else program.send(outputs)
    except StopIteration as end:
        ends[i] = end.value
    except Exception as error:  # noqa: BLE001 - becomes this product's answer
        ends[i] = error


def merged(run: Callable[[Call], Any], key: Key) -> Ask:
    """An `Ask` which runs each route once and computes equal items once.

    `run` answers one call (an engine, or the feature cache before it); `key` names an item.
    """

    def ask(calls: Sequence[Call]) -> Outputs:
        routes: dict[tuple[Any, ...], list[int]] = {}
        for at, call in enumerate(calls):
            routes.setdefault(call.route, []).append(at)
        outputs: list[Any] = [None] * len(calls)
        for members in routes.values():
            _run_route([calls[i] for i in members], members, run, key, outputs)
        return outputs

    return ask


def _run_route(
    calls: Sequence[Call],
    members: Sequence[int],
    run: Callable[[Call], Any],
    key: Key,
    outputs: list[Any],
) -> None:
    first = calls[0]
    place: dict[bytes, int] = {}
    items: list[Value] = []
    spots: list[list[int]] = []
    for call in calls:
        spot = []
        for item in call.items:
            name = key(call, item)
            if name not in place:
                place[name] = len(items)
                items.append(item)
            spot.append(place[name])
        spots.append(spot)
    out = run(replace(first, items=items))
    for at, spot in zip(members, spots, strict=True):
        outputs[at] = (
            out[np.asarray(spot, np.int64)] if isinstance(out, np.ndarray) else [out[i] for i in spot]
        )


def one(program: Steps[End], ask: Ask) -> End:
    """Drive a single program; its exception is raised."""
    result = drive([program], ask)[0]
    if isinstance(result, Exception):
        raise result
    return result


def engine_runner(engines: Mapping[str, Any]) -> Callable[[Call], Any]:
    """`run` for `merged`, straight through loaded engines (no cache)."""

    def run(call: Call) -> Any:
        return engines[call.engine].run(call)

    return run
