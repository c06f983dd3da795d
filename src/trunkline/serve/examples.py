"""Example rows for the docs, and what a row costs on this machine.

Examples come from the input kinds, never from training rows: bundles hold none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import orjson

from trunkline.errors import RequestError
from trunkline.serve.answer import predict
from trunkline.serve.catalog import Served
from trunkline.types import Call, Outputs

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_REPEATS = 3


def example_row(served: Served) -> dict[str, Any]:
    """A row that the product can read; Chinese where its title or labels are."""
    bundle = served.bundle
    chinese = bool(_CHINESE.search(bundle.spec.title + "".join(bundle.labels) + "".join(bundle.spec.inputs)))
    return {column: _cell(kind.schema(), chinese) for column, kind in served.kinds.items()}


def _cell(schema: dict[str, Any], chinese: bool) -> Any:
    examples = schema.get("examples", [None])
    fitting = [cell for cell in examples if isinstance(cell, str) and bool(_CHINESE.search(cell)) == chinese]
    return (fitting or examples)[0]


@dataclass(frozen=True)
class Cost:
    """What a body of one example row takes here."""

    seconds: float
    bytes: int

    def of(self, rows: int, size: float) -> float:
        """Seconds that `rows` rows in a body of `size` bytes may take; long cells count as more rows."""
        return self.seconds * max(rows, size / self.bytes)


def measure(served: Served) -> Cost:
    """The best of three; infinite for a product that asks an engine."""
    row = example_row(served)
    size = len(orjson.dumps({"rows": [row]}))
    if served.bundle.manifest.trunks:
        return Cost(math.inf, size)
    times = []
    for _ in range(_REPEATS):
        began = perf_counter()
        try:
            predict(served, [row], no_engine)
        except _AskedError:
            return Cost(math.inf, size)
        times.append(perf_counter() - began)
    return Cost(min(times), size)


class _AskedError(RequestError):
    """A head asked for an engine."""


def no_engine(calls: Sequence[Call]) -> Outputs:
    """The `Ask` of products that were seen to need none."""
    raise _AskedError("a head without trunks asked for an engine")
