"""A network learned on some of a product's rows, by the one loop: what every method that learns one goes through.

Early stopping looks at a part of the rows that a network learns from, never at others.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from trunkline.data.split import place_by
from trunkline.engines.processor import multiplies_bf16
from trunkline.errors import SpecError
from trunkline.files import turn
from trunkline.heads.links import apply_link
from trunkline.heads.onnx import Tensor
from trunkline.inputs import KINDS
from trunkline.methods.table_target import Answers, answers_of
from trunkline.spec import Spec
from trunkline.tasks import TASKS
from trunkline.terminal import Progress
from trunkline.training import parallel
from trunkline.training.settings import LoopSettings
from trunkline.trunks.cache import cache_folder
from trunkline.types import Examples, Metric
from trunkline.vocabulary import Vocabulary

Index: TypeAlias = NDArray[np.int64]
FOLDS = 3
OLD = 30 * 86_400.0  # seconds
WAIT = 86_400.0  # seconds, for another process that learns the same
JUDGED = 256  # rows that are answered together


class FoldSettings(LoopSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The loop's settings, and how many networks give the out-of-fold predictions."""

    folds: Annotated[int, Meta(ge=2, le=20)] = FOLDS


@dataclass(frozen=True)
class Material:
    """Rows as a network takes them.

    build(outputs): a new network. inputs(rows, rng): torch tensors of these rows by the network's input names;
    with rng they may be augmented. sizes, faster, large: see `training.loop.Recipe`. For the ONNX file: free, axes of
    any length; tensors to vocabulary, what its head takes. origin: digest of the
    weights that `build` starts from, "" = from scratch.
    """

    build: Callable[[int], Any]
    inputs: Callable[[Index, np.random.Generator | None], dict[str, Any]]
    free: dict[str, dict[int, str]] = field(default_factory=dict)
    tensors: Sequence[Tensor] = ()
    mean: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    scale: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    vocabulary: Vocabulary | None = None
    sizes: NDArray[np.int64] | None = None
    faster: Mapping[str, float] = field(default_factory=dict)
    large: bool = False
    origin: str = ""


class Goal(NamedTuple):
    """target(rows): a tensor; loss(scores, target): a number; a number was learned as (number - middle) / spread."""

    target: Callable[[Index], Any]
    loss: Callable[[Any, Any], Any]
    middle: float = 0.0
    spread: float = 1.0


class Learning:
    """Learns a network on some of the rows. Checkpoints lie in the cache, under a name of everything that decides."""

    def __init__(self, spec: Spec, examples: Examples, settings: FoldSettings, material: Material, progress: Progress) -> None:
        self.spec, self.examples, self.settings = spec, examples, settings
        self.material, self.progress = material, progress
        rows = hashlib.sha256(b"".join(examples.keys) + contents_bytes(spec, examples) + target_bytes(examples))
        named = [spec.method.name, spec.seed, dict(spec.inputs), msgspec.to_builtins(settings), rows.hexdigest(), material.origin]
        self.about = hashlib.sha256(json.dumps(named).encode()).hexdigest()
        self.folder = cache_folder() / "training" / f"{spec.name}-{self.about[:16]}"

    def about_rows(self, rows: Index) -> str:
        """What a checkpoint of a network that learns these rows must be of."""
        return f"{self.about}-{hashlib.sha256(rows.tobytes()).hexdigest()}"

    @cached_property
    def answers(self) -> Answers:
        return answers_of(self.spec, self.examples)

    @cached_property
    def primary(self) -> Metric:
        task = TASKS.get(self.spec.task)()
        return task.metrics(self.spec, self.examples.labels)[task.primary(self.spec)]

    @property
    def outputs(self) -> int:
        return self.answers.outputs

    def turn(self) -> AbstractContextManager[None]:
        """Others that learn the same wait meanwhile; of several processes that learn it together the first holds it."""
        return nullcontext() if parallel.rank() else turn(self.folder.with_suffix(".lock"), WAIT)

    def forget(self) -> None:
        """All is learned: take the checkpoints away, and other trainings' that nobody touched for OLD. The network's file
        stays until its bundle has it."""
        self.folder.mkdir(parents=True, exist_ok=True)  # nothing may have been kept yet
        for place in self.folder.iterdir():
            if place.is_dir():
                shutil.rmtree(place)
        for folder in self.folder.parent.iterdir():
            if folder.is_dir() and folder != self.folder and _idle(folder) > OLD:
                shutil.rmtree(folder, ignore_errors=True)
                folder.with_suffix(".lock").unlink(missing_ok=True)

    def values(self, module: Any, rows: Index) -> Sequence[Any] | NDArray[Any]:
        """`Prediction.values` of these rows."""
        return apply_link(self.answers.link, answered(module, self.material, rows))

    def stacked(self, values: Sequence[Any]) -> NDArray[Any]:
        return np.stack(values)

    def __call__(self, rows: Index, name: str) -> tuple[Any, Any]:
        """(network, `training.loop.Learned`)."""
        import torch

        from trunkline.training.gradient import Recipe
        from trunkline.training.loop import train_loop

        fit, judged = self.parted(rows)
        goal, material = self.goal(fit), self.material

        def batch(at: Index, rng: np.random.Generator) -> Any:
            return material.inputs(fit[at], rng), goal.target(fit[at])

        with torch.random.fork_rng():
            torch.manual_seed(self.spec.seed)
            module = material.build(self.outputs)
        recipe = Recipe(
            module, len(fit), batch, lambda module, made: goal.loss(module(*made[0].values()), made[1]),
            (lambda module: self.judged(module, judged, goal)) if len(judged) else None,
            None if material.sizes is None else material.sizes[fit], material.faster, material.large, self.counted, fit,
        )  # fmt: skip
        place = self.folder / name.replace(" ", "-").replace("/", "-of-")
        learned = train_loop(recipe, self.settings, self.spec.seed, folder=place, about=self.about_rows(rows), progress=self.progress, name=name)
        module = module.cpu()
        with torch.no_grad():  # numbers were learned at a scale of their own
            module.out.weight *= goal.spread
            module.out.bias.mul_(goal.spread).add_(goal.middle)
        return module, learned

    def parted(self, rows: Index) -> tuple[Index, Index]:
        """(rows to learn from, rows to stop by)."""
        return validation(self.examples, rows, self.settings.validation, self.spec.seed)

    counted: Callable[[Any], int] | None = None  # see `training.gradient.Recipe`

    def goal(self, rows: Index) -> Goal:
        """What the network learns these rows by. Raises SpecError for a loss that can't."""
        import torch

        from trunkline.training.losses import balanced, loss_of

        middle, spread = self._scale(rows)
        values = torch.from_numpy((self.answers.values - middle) / spread if self._number else self.answers.values)
        weights = None
        if self.settings.balance and not self._number:
            weights = balanced(torch.from_numpy(self._counts(rows)))
        try:
            loss = loss_of(self.settings, self.answers.link, weights)
        except ValueError as error:
            raise SpecError(str(error), where="method.settings.loss") from None
        return Goal(values.__getitem__, loss, middle, spread)

    def judged(self, module: Any, rows: Index, goal: Goal) -> dict[str, float]:
        """Figures of rows that were set aside: the loss (see `training.loop.Recipe.judge`), and what the product is
        judged by."""
        import torch

        logits = answered(module, self.material, rows)
        loss = float(goal.loss(torch.from_numpy(logits).float(), goal.target(rows)))
        said = apply_link(self.answers.link, logits * goal.spread + goal.middle)
        return {"loss": loss, self.primary.name: float(self.primary.of(self.examples.target[rows], said))}

    @property
    def _number(self) -> bool:
        return self.answers.link == "identity"

    def _scale(self, rows: Index) -> tuple[float, float]:
        if not self._number:
            return 0.0, 1.0
        known = self.answers.values[rows]
        return float(known.mean()), float(known.std()) or 1.0

    def _counts(self, rows: Index) -> NDArray[np.int64]:
        values = self.answers.values[rows]
        if self.answers.link == "labels":
            return np.asarray(values.sum(axis=0), np.int64)
        return np.bincount(values, minlength=max(2, self.answers.outputs))


def contents_bytes(spec: Spec, examples: Examples) -> bytes:
    """Digests of what stands in the rows: their keys may be ids, under which a text may be another tomorrow."""
    kinds = {column: KINDS.get(kind)() for column, kind in spec.inputs.items()}
    return b"".join(kind.key(row[column]) for row in examples.inputs for column, kind in kinds.items())


def target_bytes(examples: Examples) -> bytes:
    """What a digest of the answers is made of."""
    target = examples.target
    return repr(target.tolist()).encode() if target.dtype == np.object_ else target.tobytes()


def validation(examples: Examples, rows: Index, share: float, seed: int) -> tuple[Index, Index]:
    """(rows to learn from, rows to stop by): of one key all or none, so that no row is judged by its own copy. Under
    50 rows there is nothing to spare."""
    if len(rows) < 50:
        return rows, rows[:0]
    held = np.array([place_by(examples.keys[at], seed) < share for at in rows.tolist()])
    return (rows[~held], rows[held]) if held.any() and not held.all() else (rows, rows[:0])


def answered(module: Any, material: Material, rows: Index) -> NDArray[np.float64]:
    """(n, outputs) logits."""
    return np.concatenate(answered_each(module, material, rows, [1] * len(rows)))


def answered_each(module: Any, material: Material, rows: Index, held: Sequence[int]) -> list[NDArray[np.float64]]:
    """(held, outputs) logits of each row, which holds so many parts that are answered. Rows of like size go together; of
    several processes each answers its own rows."""
    if parallel.size() == 1:
        return _answered(module, material, rows, held)
    mine = np.flatnonzero(parallel.own(rows))
    some = _answered(module, material, rows[mine], [held[at] for at in mine.tolist()])
    ends = np.cumsum(held)
    every = np.zeros((int(ends[-1]) if len(held) else 0, parallel.largest(some[0].shape[1] if some else 0)))
    for at, own in zip(mine.tolist(), some, strict=True):
        every[ends[at] - held[at] : ends[at]] = own
    return np.split(parallel.gathered(every), ends[:-1])


def _answered(module: Any, material: Material, rows: Index, held: Sequence[int]) -> list[NDArray[np.float64]]:
    import torch

    device = next(module.parameters()).device
    half = material.large and device.type == "cpu" and multiplies_bf16()
    order = np.arange(len(rows)) if material.sizes is None else np.argsort(material.sizes[rows], kind="stable")
    was = module.training
    found: list[NDArray[np.float64]] = [np.empty((0, 0))] * len(rows)
    module.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, half):
        for start in range(0, len(order), JUDGED):
            part = order[start : start + JUDGED]
            given = [tensor.to(device) for tensor in material.inputs(rows[part], None).values()]
            ends = np.cumsum([held[at] for at in part.tolist()])
            scores = np.split(module(*given).double().cpu().numpy(), ends[:-1])
            for at, own in zip(part.tolist(), scores, strict=True):
                found[at] = own
    module.train(was)
    return found


def _idle(folder: Path) -> float:
    """Seconds since a file came into it or into a folder of it; 0 where another process is at work there just now."""
    try:
        return time.time() - max(place.stat().st_mtime for place in (folder, *folder.iterdir()) if place.is_dir())
    except OSError:
        return 0.0
