"""The gradient of one batch: in parts if memory is short, and over several processes, each from its own rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from accelerate.utils import recursively_apply, send_to_device
from numpy.typing import NDArray

from trunkline.errors import TrainError
from trunkline.training import parallel
from trunkline.training.settings import LoopSettings
from trunkline.training.state import Note
from trunkline.training.synced import Share

Batch: TypeAlias = Any
Index: TypeAlias = NDArray[np.int64]
AUGMENT, STEP = 2, 3  # what a stream of random numbers is for; 1 is an epoch's order


@dataclass(frozen=True)
class Recipe:
    """What is learned.

    batch(rows, rng): the training rows of these numbers as whatever `loss` takes; augmentation draws from rng.
    loss(module, batch): a scalar tensor, the mean over the batch's rows. judge(module): figures of the validation
    part by name, `loss` first: lower is better, and early stopping goes by it; None = no validation.
    sizes: (n,) of the rows, where a batch is padded to its longest: rows of like size then go together. faster: see
    `optimiser_of`. large: a network for which 16 bits pay on a processor too, if that multiplies them (AMX).
    counted(batch): how many terms its loss is the mean of, where these aren't its rows. places: (n,) numbers of the rows
    by which several processes share them out (`parallel.own`). whole: the loss is no mean, so each process takes all rows.
    """

    module: Any
    rows: int
    batch: Callable[[Index, np.random.Generator], Batch]
    loss: Callable[[Any, Batch], Any]
    judge: Callable[[Any], dict[str, float]] | None = None
    sizes: NDArray[np.int64] | None = None
    faster: Mapping[str, float] = field(default_factory=dict)
    large: bool = False
    counted: Callable[[Batch], int] | None = None
    places: Index | None = None
    whole: bool = False


class Gradient:
    """module: the recipe's, as the accelerator prepared it. share: what its batch norms count (`synced`)."""

    def __init__(self, recipe: Recipe, settings: LoopSettings, seed: int, accelerator: Any, module: Any, share: Share, name: str) -> None:
        self.recipe, self.settings, self.seed, self.name = recipe, settings, seed, name
        self.accelerator, self.module, self.share = accelerator, module, share
        self.parameters = [p for p in recipe.module.parameters() if p.requires_grad]
        self.parts = settings.accumulate
        self.own = parallel.own(np.arange(recipe.rows) if recipe.places is None else recipe.places)
        self.spare: Index = np.append(np.flatnonzero(self.own), 0)[:1]

    def of(self, rows: Index, step: int, notes: list[Note]) -> float:
        """The loss of a batch, whose gradient the parameters have then. A batch that is too large for memory goes through
        in halves of halves: the same gradient, later. Raises TrainError where one row is too large, OneFailed."""
        while True:
            try:
                return self._once(rows, step)
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                self._halve(rows, step, notes)

    def _once(self, rows: Index, step: int) -> float:
        """Each process draws random numbers of its own, the first one as it would alone."""
        accelerator, total, several = self.accelerator, 0.0, parallel.size()
        mine = () if self.recipe.whole or not parallel.rank() else (parallel.rank(),)
        _seeded(stream(self.seed, STEP, step, *mine))
        rng = np.random.default_rng((self.seed, AUGMENT, step, *mine))
        for part, weight, last in self._parts(rows, rng):
            with nullcontext() if last else accelerator.no_sync(self.module):
                loss = self._loss(part)
                value = float(loss.detach())
                if several == 1 and weight and not math.isfinite(value):
                    return value  # several agree on it after the gradient, for which each waits
                times = weight * several  # the gradient becomes the mean over processes
                accelerator.backward(loss * times if times != 1 else loss)
            total += value * weight if weight else 0.0  # the mean of no terms is no number
        return float(parallel.gathered(np.array([total]))[0])

    def _loss(self, batch: Batch) -> Any:
        with self.accelerator.autocast():
            loss = self.recipe.loss(self.module, self._placed(batch))
            if self.settings.l1:
                loss = loss + self.settings.l1 * sum(p.abs().sum() for p in self.parameters if p.ndim > 1)
            return loss

    def _placed(self, batch: Batch) -> Batch:
        """On the accelerator's device; a walk through the batch that the processor doesn't need. From pinned memory the copy
        runs while this process goes on; CUDA keeps the memory until it is through."""
        device = self.accelerator.device
        if device.type == "cuda":
            return send_to_device(recursively_apply(lambda tensor: tensor.pin_memory(), batch), device, non_blocking=True)
        return batch if device.type == "cpu" else send_to_device(batch, device)

    def _parts(self, rows: Index, rng: np.random.Generator) -> Iterator[tuple[Batch, float, bool]]:
        """(this process's rows of a part of the batch, their weight in the loss of all processes' rows, is it the last part?).

        A process without a row of the part takes one that counts nothing: the others wait for its gradient.
        """
        recipe, parts = self.recipe, [self._mine(part) for part in np.array_split(rows, min(self.parts, len(rows)))]
        if recipe.counted is None:
            every = len(rows) * (parallel.size() if recipe.whole else 1)
            made = ((recipe.batch(part, rng), len(part) * counts) for part, counts in parts)
        else:
            every_part = [recipe.batch(part, rng) for part, _ in parts]
            terms = [recipe.counted(batch) * counts for batch, (_, counts) in zip(every_part, parts, strict=True)]
            every = max(1, int(parallel.gathered(np.array([sum(terms)]))[0]))
            made = (pair for pair in zip(every_part, terms, strict=True))
        for at, (batch, count) in enumerate(made, 1):
            self.share.counts = parts[at - 1][1]
            yield batch, count / every, at == len(parts)

    def _mine(self, rows: Index) -> tuple[Index, bool]:
        """(those of these rows that are this process's, do they count?)."""
        if parallel.size() == 1 or self.recipe.whole:
            return rows, True
        mine = rows[self.own[rows]]
        return (mine, True) if len(mine) else (self.spare, False)

    def _halve(self, rows: Index, step: int, notes: list[Note]) -> None:
        for parameter in self.parameters:
            parameter.grad = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if parallel.size() > 1:
            raise parallel.OneFailed("a batch is too large for the memory of one process", where=self.name, hint="accumulate = 2, or a smaller batch")
        if self.parts >= len(rows):
            raise TrainError("one row is too large for this machine's memory", where=self.name, hint="a smaller network or shorter rows")
        self.parts = min(2 * self.parts, len(rows))
        notes.append(("halved", {"step": step + 1, "rows": len(rows), "parts": self.parts}))


def _out_of_memory(error: RuntimeError) -> bool:
    """torch has no class of its own for the processor's memory."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _seeded(number: int) -> None:
    """`torch.manual_seed` formats a stack for every kind of device that isn't there, too dear for every step."""
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(number)


def stream(*parts: int) -> int:
    """A seed for torch."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
