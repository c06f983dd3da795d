"""How light is `import trunkline`, `trunkline --help`, and the install that serves.

    python -m benchmarks.imports [--no-install]

Targets: import under 0.1 s, --help under 0.3 s, serving install at most 600 MB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import record, spread_of

ROOT = Path(__file__).resolve().parents[1]
RUNS = 15
IMPORT = "import time; t = time.perf_counter(); import trunkline; print(time.perf_counter() - t)"
SIZES = """
import json
from importlib.metadata import distributions
sizes = {}
for dist in distributions():
    files = [dist.locate_file(f) for f in dist.files or ()]
    sizes[dist.metadata["Name"]] = sum(f.stat().st_size for f in files if f.is_file())
print(json.dumps(sizes))
"""


def timed(command: Sequence[str]) -> tuple[float, str]:
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - start, done.stdout


def starts() -> list[dict[str, Any]]:
    """Interleaved, so that a busy neighbour slows all alike. Milliseconds."""
    python, command = sys.executable, str(Path(sys.executable).parent / "trunkline")
    wall: dict[str, list[float]] = {"python -c pass": [], "import trunkline": [], "trunkline --help": []}
    inside: list[float] = []
    for _ in range(RUNS):
        wall["python -c pass"].append(timed([python, "-c", "pass"])[0])
        seconds, out = timed([python, "-c", IMPORT])
        wall["import trunkline"].append(seconds)
        inside.append(float(out))
        wall["trunkline --help"].append(timed([command, "--help"])[0])
    bare = min(wall["python -c pass"])
    rows = [
        {"what": what, "ms": spread_of(times), "times bare python": f"{min(times) / bare:.1f}"}
        for what, times in wall.items()
    ]
    return [*rows, {"what": "import trunkline, inside the process", "ms": spread_of(inside, digits=1), "times bare python": ""}]


def install_sizes() -> dict[str, int]:
    """Bytes of each package in a fresh environment after `pip install .` (no extras)."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = str(Path(folder) / "bin" / "python")
        pip = [python, "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), str(ROOT)]
        subprocess.run(pip, check=True)
        import json

        sizes: dict[str, int] = json.loads(timed([python, "-c", SIZES])[1])
    return {name: size for name, size in sizes.items() if name not in ("pip", "setuptools")}


def serving_imports() -> list[str]:
    """Top-level packages in memory once the server's app is imported, the standard library left out."""
    code = "import sys, trunkline.serve.app; print(*sorted({m.split('.')[0] for m in sys.modules} - sys.stdlib_module_names))"
    return [name for name in timed([sys.executable, "-c", code])[1].split() if not name.startswith("_")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-install", action="store_true", help="leave the fresh install out (it takes minutes)")
    given = parser.parse_args()
    print(record("starts", "Start of the command and the import", starts(), spread=f"median (lowest-highest) of {RUNS} interleaved runs"))
    if given.no_install:
        return
    sizes = install_sizes()
    rows = [{"package": name, "MB": f"{size / 1e6:.1f}"} for name, size in sorted(sizes.items(), key=lambda s: -s[1])]
    total = {"package": "all", "MB": f"{sum(sizes.values()) / 1e6:.1f}"}
    note = f"Loaded by the server before the first request: {', '.join(serving_imports())}."
    print(record("imports", "Size of the serving install", [total, *rows], spread="one fresh install; sizes of files on disk, .pyc included", note=note))


if __name__ == "__main__":
    main()
