"""What does each input column bring? The product without it, on the same test rows.

Where a method can learn again by the settings it chose (features are cached, so that costs a fit), the head is learned
without the column. Else, and with many columns, the column's cells are swapped between rows (Breiman 2001), which says
how far the head leans on it: it costs no learning, and works for every head.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from trunkline.engines.threads import run_all
from trunkline.methods import METHODS
from trunkline.methods.curve import Refits
from trunkline.methods.ladder import Climbed
from trunkline.program import one
from trunkline.spec import Spec
from trunkline.types import Ask, Decision, Examples, Head, Inputs, Ints, Prediction, Task, Without

REFITTED = 12  # columns, at most: a fit each
CELLS = 100_000  # swapped cells that are answered, all columns together
FEWEST_ROWS = 200


def without_each(spec: Spec, task: Task, train: Examples, test: Examples, climbed: Climbed, ask: Ask) -> list[Without]:
    """One for each input column, in the spec's order; [] for one column, and where an answer is a part of a column."""
    if len(spec.inputs) < 2 or train.target.dtype == object or not len(test):
        return []
    swapped = _Swapped(spec, task, train, test, climbed, ask)

    def of(column: str) -> Without:
        found = _refitted(column, spec, task, train, test, climbed, ask) if len(spec.inputs) <= REFITTED else None
        return found or swapped.of(column)

    return run_all(of, list(spec.inputs))


def _refitted(
    column: str, spec: Spec, task: Task, train: Examples, test: Examples, climbed: Climbed, ask: Ask
) -> Without | None:
    """By the kept method, else by the last of those tried that can do without the column."""
    rest = msgspec.structs.replace(spec, inputs={name: kind for name, kind in spec.inputs.items() if name != column})
    for name in dict.fromkeys([climbed.method, *reversed(list(climbed.tried))]):
        method = METHODS.get(name)()
        if isinstance(method, Refits) and method.can(rest, train) is None:
            candidate = climbed.tried[name]
            head = method.refit(rest, train, ask, candidate.settings)
            decision = task.calibrate(spec, train, candidate.out_of_fold)
            found = _answered(task, head, test.inputs, decision, ask)
            return Without(column, name, found, np.arange(len(test), dtype=np.int64))
        if name == climbed.method and not isinstance(method, Refits):
            return None
    return None


class _Swapped:
    """The kept head on test rows of which one column's cells changed places."""

    def __init__(
        self, spec: Spec, task: Task, train: Examples, test: Examples, climbed: Climbed, ask: Ask
    ) -> None:
        rng = np.random.default_rng(spec.seed)
        most = max(FEWEST_ROWS, CELLS // len(spec.inputs))
        self._rows: Ints = np.sort(rng.permutation(len(test))[:most]).astype(np.int64)
        self._from = self._rows[rng.permutation(len(self._rows))]
        self._decision = task.calibrate(spec, train, climbed.candidate.out_of_fold)
        self._task, self._test, self._head, self._ask = task, test, climbed.candidate.head, ask

    def of(self, column: str) -> Without:
        inputs = [
            {**self._test.inputs[at], column: self._test.inputs[other][column]}
            for at, other in zip(self._rows.tolist(), self._from.tolist(), strict=True)
        ]
        found = _answered(self._task, self._head, inputs, self._decision, self._ask)
        return Without(column, "", found, self._rows)


def _answered(task: Task, head: Head, rows: Sequence[Inputs], decision: Decision, ask: Ask) -> Prediction:
    return task.finish(one(head.run(rows), ask), decision)
