"""All that a training is at one moment: weights, optimiser, average, best weights, curve, counters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import torch

from trunkline.training import checkpoint


class Epoch(msgspec.Struct, frozen=True):
    """One point of the learning curve. loss: mean over the epoch's rows; figures: of the validation part."""

    number: int
    step: int
    loss: float
    rate: float
    figures: dict[str, float]
    seconds: float


Note: TypeAlias = tuple[str, dict[str, int]]  # what went otherwise than planned: "resumed", "halved", "diverged", and its numbers


class State:
    """`close` after every epoch, `save` at any step, `resume` before the first."""

    def __init__(self, module: Any, optimiser: Any, decay: float, folder: Path | None, about: str) -> None:
        self.module, self.optimiser, self.decay, self.folder, self.about = module, optimiser, decay, folder, about
        self.step = self.seen = self.waited = 0
        self.total = 0.0  # sum of the losses of the rows seen in this epoch
        self.epochs: list[Epoch] = []
        self.notes: list[Note] = []
        self.stopped = ""
        self.best: tuple[float, dict[str, Any]] | None = None  # (validation loss, weights)
        self.good: tuple[int, dict[str, Any]] | None = None  # (step, weights) of the last whole epoch
        self.shadow = _copy(module) if decay else {}

    def average(self) -> None:
        """Move the average of the weights one step; its decay grows with the steps (Tan, Le 2019's warm start)."""
        if self.decay:
            keep = min(self.decay, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                for name, now in self.module.state_dict().items():
                    if now.is_floating_point():
                        self.shadow[name].lerp_(now, 1 - keep)
                    else:
                        self.shadow[name].copy_(now)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The module with its averaged weights for a while, if there are any."""
        if not self.decay:
            yield
            return
        own = _copy(self.module)
        self.module.load_state_dict(self.shadow)
        yield
        self.module.load_state_dict(own)

    def close(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)
        self.seen, self.total = 0, 0.0
        weights = {name: tensor.clone() for name, tensor in self.shadow.items()} if self.decay else _copy(self.module)
        self.good = (self.step, weights)
        loss = epoch.figures.get("loss")
        if loss is None:
            return
        if self.best is None or loss < self.best[0]:
            self.best, self.waited = (loss, weights), 0
        else:
            self.waited += 1

    def restore_good(self) -> bool:
        """Back to the last whole epoch; False if there is none."""
        if self.good is None:
            return False
        self.step, weights = self.good
        self.module.load_state_dict(weights)
        return True

    def finish(self, best: bool) -> None:
        """Leave the module with the weights that answer."""
        if best and self.best is not None:
            self.module.load_state_dict(self.best[1])
        elif self.good is not None:
            self.module.load_state_dict(self.good[1])

    def save(self) -> None:
        if self.folder is None:
            return
        moments, numbers = checkpoint.flat(self.optimiser)
        groups = {"module": self.module.state_dict(), "optimiser": moments, "shadow": self.shadow}
        groups["best"] = self.best[1] if self.best else {}
        groups["good"] = self.good[1] if self.good else {}
        groups["rng"] = {"torch": torch.get_rng_state()}
        tensors = {f"{group}|{name}": tensor for group, named in groups.items() for name, tensor in named.items()}
        meta = {
            "about": self.about, "step": self.step, "seen": self.seen, "total": self.total.hex(), "waited": self.waited,
            "epochs": msgspec.to_builtins(self.epochs), "notes": self.notes, "stopped": self.stopped,
            "best": self.best[0].hex() if self.best else None, "good": self.good[0] if self.good else None,
            "optimiser": numbers,
        }  # fmt: skip
        checkpoint.write(self.folder, tensors, meta)

    def resume(self) -> None:
        """Go on from the folder's checkpoint if it is of this training (`about`); else from the start."""
        found = checkpoint.found(self.folder)
        if found is None or found[1]["about"] != self.about:
            return
        tensors, meta = found
        groups: dict[str, dict[str, Any]] = {}
        for path, tensor in tensors.items():
            group, _, name = path.partition("|")
            groups.setdefault(group, {})[name] = tensor
        self.module.load_state_dict(groups["module"])
        checkpoint.unflat(self.optimiser, groups.get("optimiser", {}), meta["optimiser"])
        torch.set_rng_state(groups["rng"]["torch"])
        self.shadow = groups.get("shadow", {})
        self.step, self.seen, self.waited = meta["step"], meta["seen"], meta["waited"]
        self.total, self.stopped, self.notes = float.fromhex(meta["total"]), meta["stopped"], [(key, values) for key, values in meta["notes"]]
        self.epochs = msgspec.convert(meta["epochs"], list[Epoch])
        self.best = (float.fromhex(meta["best"]), groups["best"]) if meta["best"] is not None else None
        self.good = (meta["good"], groups["good"]) if meta["good"] is not None else None
        self.notes.append(("resumed", {"step": self.step}))


def _copy(module: Any) -> dict[str, Any]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
