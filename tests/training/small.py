"""A network and rows small enough to learn in a second."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from trunkline.training.gradient import Recipe
from trunkline.training.loop import Learned, train_loop
from trunkline.training.settings import LoopSettings

ROWS = 256


def recipe(judged: bool = True, slow: float = 0.0) -> Recipe:
    """Two classes by the sign of a product: no line tells them apart. Dropout and noise draw random numbers."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((ROWS + 64, 2)).astype(np.float32))
    y = (x[:, 0] * x[:, 1] > 0).long()
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 2))

    def batch(rows: Any, draw: np.random.Generator) -> Any:
        noise = torch.from_numpy(draw.normal(0, 0.01, (len(rows), 2)).astype(np.float32))
        return x[rows] + noise, y[rows]

    def loss(module: Any, batch: Any) -> Any:
        if slow:
            import time

            time.sleep(slow)
        return functional.cross_entropy(module(batch[0]), batch[1])

    def judge(module: Any) -> dict[str, float]:
        scores = module(x[ROWS:])
        right = (scores.argmax(1) == y[ROWS:]).float().mean()
        return {"loss": float(functional.cross_entropy(scores, y[ROWS:])), "accuracy": float(right)}

    return Recipe(module, ROWS, batch, loss, judge if judged else None)


SETTINGS = LoopSettings(epochs=12, batch=16, rate=0.03, average=0.9, patience=0, accumulate=2)


def weights(module: Any) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in module.state_dict().values())


def learn(folder: Path | None, slow: float = 0.0) -> tuple[bytes, Learned]:
    from trunkline.training import loop

    loop.EVERY = 0.0  # a checkpoint at every step
    made = recipe(slow=slow)
    found = train_loop(made, SETTINGS, seed=3, folder=folder, about="small")
    return weights(made.module), found


if __name__ == "__main__":  # the process that test_resume kills
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    learn(Path(sys.argv[1]), slow=0.01)
