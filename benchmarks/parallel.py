"""Two processes that learn one network together against one: the loss curve, and images a second.

python -m benchmarks.parallel [trial]; needs the `train` extra, about 3 processor minutes. Data: ../shared/data (measuring only).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.networks import digits
from benchmarks.record import TRIAL, record, spread_of

HERE = Path(__file__).resolve().parents[1]
ROWS, HELD, BATCH = 1_024, 1_000, 64
WAYS = {"1 process, 1 thread": (1, 1), "1 process, 2 threads": (1, 2), "2 processes, 1 thread each": (2, 1)}
KINDS = {"no dropout, no augmentation": (0.0, False, 3), "dropout 0.2, digits moved": (0.2, True, 1)}  # and how often


def learn(out: Path, rows: int, epochs: int, dropout: float, moving: bool) -> None:
    """What each process does; the first one writes."""
    import torch
    from torch.nn import functional

    from trunkline.networks.cnn import ImageCnn
    from trunkline.training import parallel
    from trunkline.training.augment import moved
    from trunkline.training.gradient import Recipe
    from trunkline.training.loop import train_loop
    from trunkline.training.settings import LoopSettings

    pixels, target = (part[: rows + HELD] for part in digits("train"))
    torch.manual_seed(0)
    module = ImageCnn(1, 10, dropout=dropout)

    def batch(at: Any, rng: Any) -> Any:
        block = pixels[at].float()
        return moved(block, rng) if moving else block, target[at]

    def judge(learned: Any) -> dict[str, float]:
        return {"loss": float(functional.cross_entropy(learned(pixels[rows:]), target[rows:]))}

    recipe = Recipe(module, rows, batch, lambda net, made: functional.cross_entropy(net(made[0]), made[1]), judge)
    found = train_loop(recipe, LoopSettings(epochs=epochs, batch=BATCH, rate=3e-3, patience=0), 0)
    if not parallel.rank():
        curve = [(each.loss, each.figures["loss"]) for each in found.epochs]
        out.write_text(json.dumps({"curve": curve, "seconds": [each.seconds for each in found.epochs[1:]]}))
    if parallel.size() > 1:
        parallel.leave()


def run(way: str, kind: str, rows: int, epochs: int) -> dict[str, Any]:
    processes, threads = WAYS[way]
    dropout, moving, _ = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        out = Path(folder) / "found.json"
        words = [sys.executable, "-m", "benchmarks.parallel", "learn", str(out), str(rows), str(epochs), str(dropout), str(int(moving))]
        told = {"OMP_NUM_THREADS": "1", "TRUNKLINE_THREADS": str(threads * processes), "GLOO_SOCKET_IFNAME": "lo"}
        if processes > 1:
            told |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        running = [
            subprocess.Popen(words, cwd=HERE, env={**os.environ, **told, **({"RANK": str(at), "LOCAL_RANK": str(at)} if processes > 1 else {})})
            for at in range(processes)
        ]
        codes = [child.wait(600) for child in running]
        if any(codes):
            raise SystemExit(f"{way}: a process failed")
        found: dict[str, Any] = json.loads(out.read_text())
        return found


def farthest(one: Sequence[Sequence[float]], other: Sequence[Sequence[float]]) -> float:
    return max(abs(a - b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True))


def measured(rows: int, epochs: int, most: int) -> list[dict[str, Any]]:
    """Interleaved; the first epoch of each run counts for the curve, not for the speed."""
    table = []
    for kind, (_, _, repeats) in KINDS.items():
        found: dict[str, list[Any]] = {way: [] for way in WAYS}
        for repeat in range(min(repeats, most)):
            for way in list(WAYS) if repeat % 2 else reversed(list(WAYS)):
                found[way].append(run(way, kind, rows, epochs))
        base = found["1 process, 1 thread"]
        for way, runs in found.items():
            speeds = [rows / seconds for each in runs for seconds in each["seconds"]]
            table.append({
                "learning": kind, "by": way, "images/s": spread_of(speeds, 1), "loss of the last epoch": round(runs[0]["curve"][-1][0], 5),
                "held-out loss": round(runs[0]["curve"][-1][1], 5),
                "largest difference of the curve": f"{max(farthest(each['curve'], base[0]['curve']) for each in runs):.1e}",
            })  # fmt: skip
    return table


def main() -> None:
    if sys.argv[1:2] == ["learn"]:
        out, *numbers, dropout, moving = sys.argv[2:]
        learn(Path(out), int(numbers[0]), int(numbers[1]), float(dropout), bool(int(moving)))
        return
    trial = sys.argv[1:2] == ["trial"]
    rows, epochs = (192, 2) if trial else (ROWS, 3)
    table = measured(rows, epochs, 1 if trial else 3)
    for row in table:
        print(row)
    if not trial:
        record(
            "parallel", "One network learned by two processes, and by one", table, packages=["torch", "accelerate"],
            spread=f"median (lowest-highest) of 3 fresh starts of each, interleaved, {epochs - 1} epochs each; with dropout one start each",
            note=f"cnn small with batch norm, {ROWS:,} MNIST digits, global batch {BATCH} either way, gloo over loopback. Differences: "
            f"losses of all {epochs} epochs and held-out losses ({HELD:,} digits), the farthest from those of one process with one thread.",
        )  # fmt: skip
    else:
        print(TRIAL)


if __name__ == "__main__":
    main()
