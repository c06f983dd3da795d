"""The training loop. What it learns is a `Recipe`'s; how, `LoopSettings`'.

An epoch's order, its augmentation and a step's dropout all follow from the seed and the step's number alone, so a
training that was killed goes on from its last checkpoint to the same weights, bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from numpy.typing import NDArray

from trunkline.engines.processor import multiplies_bf16
from trunkline.engines.threads import workers
from trunkline.errors import TrainError
from trunkline.terminal import SILENT, Progress
from trunkline.training import parallel
from trunkline.training.gradient import Gradient, Recipe
from trunkline.training.optimisers import optimiser_of, rate_at
from trunkline.training.settings import LoopSettings
from trunkline.training.state import Epoch, Note, State
from trunkline.training.synced import Share, synced
from trunkline.training.tracing import traced
from trunkline.training.tracker import tracker_of

SHUFFLE = 1  # what a stream of random numbers is for; others in `gradient`
EVERY = 60.0  # seconds between two checkpoints within an epoch
ALIKE = 50  # batches among which rows of like size go together


@dataclass(frozen=True)
class Learned:
    """epochs: the curve. notes: what went otherwise than planned, each a key of `proof.messages` behind "learned." and its values. The recipe's module holds the weights."""

    epochs: Sequence[Epoch]
    notes: Sequence[Note]
    seconds: float
    stopped: str = ""  # why before the last epoch; "" if not


def train_loop(
    recipe: Recipe, settings: LoopSettings, seed: int, *, folder: Path | None = None, about: str = "",
    progress: Progress = SILENT, name: str = "learn",
) -> Learned:  # fmt: skip
    """Learn the recipe's module in place, and leave it in evaluation mode with its best weights (by validation).

    folder: where checkpoints go, and where an interrupted training of the same `about` goes on; None = none.
    Several processes (`parallel`) all call this with the same recipe. Raises TrainError where the loss is no number before
    anything was learned, or one row doesn't fit into memory.
    """
    torch.set_num_threads(max(1, workers() // parallel.beside()))
    parallel.met(f"{name} {about}")
    AcceleratorState._reset_state()  # precision is one training's choice, not the process's
    several = parallel.size() > 1
    accelerator = Accelerator(mixed_precision=_precision(settings, recipe.large), cpu=several and not torch.cuda.is_available())
    share = Share()
    with (
        torch.random.fork_rng(), synced(recipe.module, share) if several else nullcontext(), compiled(recipe.module, settings.compile),
        traced(name, accelerator.is_main_process) as trace,
    ):  # fmt: skip
        torch.manual_seed(seed)
        return _Run(recipe, settings, seed, accelerator, share, folder, about, progress, name).go(trace.step)


class _Run:
    def __init__(
        self, recipe: Recipe, settings: LoopSettings, seed: int, accelerator: Any, share: Share,
        folder: Path | None, about: str, progress: Progress, name: str,
    ) -> None:  # fmt: skip
        self.recipe, self.settings, self.seed, self.name = recipe, settings, seed, name
        self.accelerator, self.progress, self.tell = accelerator, progress, accelerator.is_main_process
        self.module, self.optimiser = accelerator.prepare(recipe.module, optimiser_of(recipe.module, settings, recipe.faster))
        if parallel.size() > 1:
            self.module.broadcast_buffers = False  # `synced` keeps them alike
        self.gradient = Gradient(recipe, settings, seed, accelerator, self.module, share, name)
        self.state = State(recipe.module, self.optimiser, settings.average, folder if self.tell else None, about)
        self.per_epoch = math.ceil(recipe.rows / settings.batch)
        self.steps = self.per_epoch * settings.epochs
        self.started = self.saved = time.perf_counter()

    def go(self, stepped: Callable[[], None]) -> Learned:
        """stepped: called after each step."""
        state, settings = self.state, self.settings
        state.resume()
        tracker = tracker_of(settings.tracker if self.tell else "none", Path(settings.tracker_folder) / self.name)
        try:
            while len(state.epochs) < settings.epochs and not state.stopped:
                self._epoch(stepped)
                if state.stopped:
                    break
                last = state.epochs[-1]
                for figure, value in {"train/loss": last.loss, "rate": last.rate, **_valid(last)}.items():
                    tracker.scalar(figure, value, last.step)
                if settings.patience and self.recipe.judge and state.waited >= settings.patience:
                    state.stopped = f"no better validation loss for {state.waited} epochs"
                state.save()
        finally:
            tracker.close()
            self.progress.close()
        state.finish(best=self.recipe.judge is not None)
        self.accelerator.unwrap_model(self.module, keep_fp32_wrapper=False).eval()  # answers in its own precision again
        return Learned(tuple(state.epochs), tuple(state.notes), time.perf_counter() - self.started, state.stopped)

    def _epoch(self, stepped: Callable[[], None]) -> None:
        state, epoch = self.state, len(self.state.epochs)
        done = state.step - epoch * self.per_epoch
        started = time.perf_counter()
        self.module.train()
        for rows in list(self._order(epoch))[done:]:
            loss = self._step(rows)
            if not math.isfinite(loss):
                return self._diverged(loss)
            state.step, state.seen, state.total = state.step + 1, state.seen + len(rows), state.total + loss * len(rows)
            self._show(epoch, loss)
            stepped()
            if time.perf_counter() - self.saved > EVERY:
                state.save()
                self.saved = time.perf_counter()
        self._close(epoch, time.perf_counter() - started)
        return None

    def _close(self, epoch: int, seconds: float) -> None:
        """Judge what the epoch brought."""
        state = self.state
        figures = {}
        if self.recipe.judge is not None:
            self.module.eval()
            with state.averaged(), torch.no_grad():
                figures = parallel.agreed(self.recipe.judge(self.recipe.module))
        rate = rate_at(state.step - 1, self.steps, self.settings)
        state.close(Epoch(epoch + 1, state.step, state.total / max(1, state.seen), rate, figures, round(seconds, 3)))
        if self.tell and figures:
            self.progress.epoch(self.name, epoch + 1, figures)

    def _order(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        """The rows of each step: every row once an epoch, its last batch smaller."""
        rng = np.random.default_rng((self.seed, SHUFFLE, epoch))
        order, size = rng.permutation(self.recipe.rows), self.settings.batch
        if self.recipe.sizes is None:
            return (order[at : at + size] for at in range(0, len(order), size))
        chunks = [order[at : at + size * ALIKE] for at in range(0, len(order), size * ALIKE)]
        sizes = self.recipe.sizes
        chunks = [chunk[np.argsort(sizes[chunk], kind="stable")] for chunk in chunks]
        batches = [chunk[at : at + size] for chunk in chunks for at in range(0, len(chunk), size)]
        return (batches[at] for at in rng.permutation(len(batches)))

    def _step(self, rows: NDArray[np.int64]) -> float:
        """The loss of a batch, and the weights moved by its gradient."""
        rate = rate_at(self.state.step, self.steps, self.settings)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["times"]
        loss = self.gradient.of(rows, self.state.step, self.state.notes)
        if not math.isfinite(loss):
            return loss
        if self.settings.clip:
            self.accelerator.clip_grad_norm_(self.gradient.parameters, self.settings.clip)
        try:
            self.optimiser.step()
        except RuntimeError as error:  # a rate of 1e38 is no float32 any more
            if "overflow" not in str(error):
                raise
            return math.inf
        self.optimiser.zero_grad()
        self.state.average()
        return loss

    def _diverged(self, loss: float) -> None:
        state = self.state
        lost = state.step + 1
        told = f"the loss was {loss} at step {lost}"
        if not state.restore_good():
            raise TrainError("learning failed", where=self.name, found=told, hint="a smaller rate, or clip = 1")
        state.stopped = f"{told}; the weights are those of step {state.step}"
        state.notes.append(("diverged", {"step": lost, "kept": state.step}))

    def _show(self, epoch: int, loss: float) -> None:
        if not self.tell:
            return
        last = self.state.epochs[-1].figures if self.state.epochs else {}
        figures = "".join(f", {name} {value:.4g}" for name, value in last.items() if name != "loss")
        note = f"epoch {epoch + 1}, loss {loss:.4g}{figures}"
        self.progress.step(self.name, self.state.step * self.settings.batch, self.steps * self.settings.batch, note)


@contextmanager
def compiled(module: Any, wanted: bool) -> Iterator[None]:
    """While it lasts, `module` is called as `torch.compile` made it; afterwards, for export, as it was written."""
    if wanted:
        module.compile()
    try:
        yield
    finally:
        if wanted:
            module._compiled_call_impl = None


def _valid(epoch: Epoch) -> dict[str, float]:
    return {f"validation/{name}": value for name, value in epoch.figures.items()}


def _precision(settings: LoopSettings, large: bool) -> str:
    if settings.precision == "float32":
        return "no"
    if not torch.cuda.is_available():
        return "bf16" if large and multiplies_bf16() else "no"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
