"""A server of several workers that have the toy parts of `parts`: `python -m tests.serve.many FOLDER PORT COUNT`.

Prints the parent's modules when it ends.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(folder: str, port: str, count: str) -> None:
    from trunkline.serve.workers import supervise

    try:
        supervise(
            [sys.executable, "-m", "tests.serve.many", "worker", folder], "127.0.0.1", int(port), int(count)
        )
    finally:
        print("modules", *sorted(sys.modules))


def worker(folder: str, listening: str, control: str, role: str) -> None:
    from tests.serve.parts import register

    from trunkline.serve.run import work

    with register():
        work(Path(folder), None, None, int(listening), int(control), role)


if __name__ == "__main__":
    worker(*sys.argv[2:]) if sys.argv[1] == "worker" else main(*sys.argv[1:])
