"""What each of two processes does in test_parallel: `python -m tests.training.together FOLDER CASE...`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors.torch import save_file
from tests.training import small
from torch.nn import functional

from trunkline.training import loop, parallel
from trunkline.training.gradient import Recipe
from trunkline.training.loop import train_loop
from trunkline.training.settings import LoopSettings

ROWS = 61  # the last batch is smaller, and 8 rows lie with the two in other numbers than 4 and 4
SETTINGS = LoopSettings(epochs=3, batch=8, rate=0.01, patience=0, average=0.9)


def rows() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((ROWS, 3, 6, 6)).astype(np.float32))
    return x, (x[:, 0].mean((1, 2)) > 0).long()


def recipe(module: Any, **more: Any) -> Recipe:
    x, y = rows()

    def judge(module: Any) -> dict[str, float]:
        return {"loss": float(functional.cross_entropy(module(x[:10]), y[:10]))}

    return Recipe(
        module, ROWS, lambda at, rng: (x[at], y[at]), lambda module, made: functional.cross_entropy(module(made[0]), made[1]), judge, **more
    )


def plain() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(108, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))


def normed() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(64, 2)
    )


def terms() -> Recipe:
    """A loss that is the mean of a number of terms which differs from row to row."""
    x, y = rows()

    def batch(at: Any, rng: Any) -> Any:
        often = torch.from_numpy(at % 5)
        return x[at].repeat_interleave(often, 0), y[at].repeat_interleave(often, 0)

    return replace(recipe(plain()), batch=batch, counted=lambda made: len(made[1]))


def rare() -> Recipe:
    """Of some batches the second process has no row."""
    return recipe(normed(), places=np.where(np.arange(ROWS) < 4, 1, 0).astype(np.int64))


CASES: dict[str, Callable[[], tuple[Recipe, LoopSettings]]] = {
    "plain": lambda: (recipe(plain()), SETTINGS),
    "norms": lambda: (recipe(normed()), SETTINGS),
    "parts": lambda: (recipe(normed(), places=np.arange(ROWS) * 7), msgspec.structs.replace(SETTINGS, accumulate=2, l1=0.01)),
    "terms": lambda: (terms(), msgspec.structs.replace(SETTINGS, accumulate=2)),
    "rare": lambda: (rare(), SETTINGS),
    "whole": lambda: (recipe(plain(), whole=True), SETTINGS),
    "sizes": lambda: (recipe(plain(), sizes=np.arange(ROWS) % 7), SETTINGS),
}


def learned(case: str, folder: Path) -> None:
    """Leaves weights, curve and, of each process, the rows that it made."""
    made, settings = CASES[case]()
    seen: list[int] = []

    def batch(at: Any, rng: Any) -> Any:
        seen.extend(at.tolist())
        return made.batch(at, rng)

    found = train_loop(replace(made, batch=batch), settings, seed=1, name=case)
    keep(folder, case, made.module, {"loss": [e.loss for e in found.epochs], "judged": [e.figures["loss"] for e in found.epochs]}, seen)


def keep(folder: Path, case: str, module: Any, curve: Any, seen: list[int]) -> None:
    name = f"{case}-{parallel.size()}-{parallel.rank()}"
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, folder / f"{name}.safetensors")
    (folder / f"{name}.json").write_text(json.dumps({"curve": curve, "seen": seen}))


def killed(folder: Path, victim: int, step: int) -> None:
    """`small`, with dropout and noise; the victim dies in the middle of an epoch unless it did so before."""
    loop.EVERY = 0.0
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    if again and not parallel.rank():
        time.sleep(2)  # the other one looks for it before it is there, and must not find where the dead one was
    made = small.recipe()
    steps = 0

    def loss(module: Any, batch: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == step and victim == parallel.rank() and not again:
            os.kill(os.getpid(), signal.SIGKILL)
        return made.loss(module, batch)

    settings = msgspec.structs.replace(small.SETTINGS, epochs=4, accumulate=1)
    found = train_loop(replace(made, loss=loss), settings, seed=3, folder=folder / "kept" / str(victim), about="small")
    keep(folder, f"killed-{victim}", made.module, [note[0] for note in found.notes], [])


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, *todo = sys.argv[1:]
    for each in todo:
        if each.startswith("killed"):
            killed(Path(place), int(each.removeprefix("killed")), 40)
        else:
            learned(each, Path(place))
    if parallel.size() > 1:
        parallel.leave()
