"""A server with something that no product here has: a head that breaks on a word, or a memory budget (10^6 bytes).

    python -m benchmarks.faults.launcher FOLDER --port 0 [--budget MB]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from trunkline.heads import HEADS
from trunkline.heads.linear import LinearHead
from trunkline.serve import live
from trunkline.types import Inputs, Program

WORD = "breakme"


class Breaking(LinearHead):
    """The linear head, but for rows with WORD in them."""

    format: ClassVar[str] = "breaking"

    def run(self, rows: Sequence[Inputs]) -> Program:
        if any(WORD in str(row["text"]) for row in rows):
            raise ZeroDivisionError(f"a head's own mistake in {rows}")
        return (yield from super().run(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--budget", type=float)
    asked = parser.parse_args()
    HEADS.register(Breaking.format, Breaking)
    if asked.budget is not None:  # `serve` has no option for it
        live.LiveCatalog = partial(live.LiveCatalog, budget_bytes=int(asked.budget * 1e6))  # type: ignore[misc, assignment]
    from trunkline.serve.run import serve

    serve(asked.folder, port=asked.port)


if __name__ == "__main__":
    main()
