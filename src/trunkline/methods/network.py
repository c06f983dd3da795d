"""What the methods that learn a network from scratch share: folds, the loop, the ONNX file, the head.

A network costs minutes, so out-of-fold predictions come from `folds` of them (3 if not set), each learned on the rows
outside its fold, and one more learns all rows. Early stopping looks at a part of the rows that a network learns from,
never at the fold it answers nor at the test rows.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from trunkline.engines.own import HOME, NET, OwnNetwork
from trunkline.errors import SpecError
from trunkline.files import digest_file, turn
from trunkline.heads.links import apply_link
from trunkline.heads.onnx import OnnxHead, Reading, Tensor
from trunkline.methods.dense_rows import TASKS
from trunkline.methods.table_target import Answers, answers_of
from trunkline.spec import Spec
from trunkline.terminal import SILENT, Progress
from trunkline.training.settings import LoopSettings
from trunkline.trunks.cache import cache_folder
from trunkline.types import Ask, Candidate, Examples, Folds, Prediction, Refused
from trunkline.vocabulary import Vocabulary

Index: TypeAlias = NDArray[np.int64]
Size = Annotated[str, Meta(pattern="^(small|base)$")]
FOLDS = 3
WAIT = 86_400.0  # seconds, for another process that learns the same
JUDGED = 256  # rows that are answered together


class NetSettings(LoopSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The loop's settings and those of every network."""

    size: Size = "small"
    dropout: Annotated[float, Meta(ge=0, lt=1)] | None = None
    activation: Annotated[str, Meta(pattern="^(relu|gelu|tanh|sigmoid)$")] | None = None
    initial: Annotated[str, Meta(pattern="^(he|xavier)$")] | None = None
    folds: Annotated[int, Meta(ge=2, le=20)] = FOLDS

    def told(self) -> dict[str, Any]:
        """Those that were set, as a network's own arguments."""
        known = {"dropout": self.dropout, "activation": self.activation, "initial": self.initial}
        return {"size": self.size, **{name: value for name, value in known.items() if value is not None}}


@dataclass(frozen=True)
class Material:
    """Rows as a network takes them.

    build(outputs): a new network. inputs(rows, rng): torch tensors of these rows by the network's input names;
    with rng they may be augmented. free: axes of any length. sizes: see `training.loop.Recipe`. origin: digest of the
    weights that `build` starts from, "" = from scratch.
    """

    build: Callable[[int], Any]
    inputs: Callable[[Index, np.random.Generator | None], dict[str, Any]]
    free: dict[str, dict[int, str]]
    tensors: Sequence[Tensor]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    vocabulary: Vocabulary | None = None
    sizes: NDArray[np.int64] | None = None
    origin: str = ""


class Network:
    """A method's own: `name`, `settings`, `reads` (why not, or "") and `material`."""

    name: ClassVar[str]
    settings: ClassVar[type[NetSettings]] = NetSettings
    progress: Progress = SILENT

    def reads(self, spec: Spec) -> str:
        raise NotImplementedError

    def material(self, spec: Spec, examples: Examples, ask: Ask, settings: Any) -> Material:
        raise NotImplementedError

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        if spec.method.name != self.name:
            return Refused("cannot", f"{self.name} learns for minutes: only a product that names it gets one")
        if spec.task not in TASKS:
            return Refused("cannot", f"{self.name} does {', '.join(TASKS)}, not {spec.task}")
        if why := self.reads(spec):
            return Refused("cannot", why)
        absent = [name for name in ("torch", "accelerate", "onnx", "onnxruntime") if find_spec(name) is None]
        if absent:
            return Refused("missing", f"{', '.join(absent)} not installed: pip install 'trunkline[train]'")
        return None

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Raises SpecError (settings), TrainError (learning failed, or the ONNX file isn't the network)."""
        settings = read_net_settings(spec, self.settings)
        answers, material = answers_of(spec, examples), self.material(spec, examples, ask, settings)
        learn = _Learning(spec, examples, settings, answers, material, self.progress)
        with turn(learn.folder.with_suffix(".lock"), WAIT):
            return self._learned(spec, examples, folds, settings, learn)

    def _learned(
        self, spec: Spec, examples: Examples, folds: Folds, settings: Any, learn: _Learning
    ) -> Candidate:
        answers, material = learn.answers, learn.material
        parts = folds % settings.folds
        scores = np.zeros((len(examples), answers.outputs))
        every = np.unique(parts)
        for at, fold in enumerate(every, 1):
            held = np.flatnonzero(parts == fold)
            module, _ = learn(np.flatnonzero(parts != fold), f"fold {at}/{len(every)}")
            scores[held] = answered(module, material, held)
        module, whole = learn(np.arange(len(examples)), "all rows")
        network, worst = _exported(module, material, learn.folder)
        learn.forget()
        head = OnnxHead(
            material.tensors, material.mean, material.scale, "", _reading(spec, examples), vocabulary=material.vocabulary
        )
        told = {
            **msgspec.to_builtins(settings), "parameters": sum(p.numel() for p in module.parameters()),
            "onnx_difference": worst, "curve": msgspec.to_builtins(whole.epochs), "notes": list(whole.notes),
        }  # fmt: skip
        values = apply_link(answers.link, scores)
        return Candidate(head, Prediction(values), told, {f"{HOME}:{NET}": network})


class _Learning:
    """Learns a network on some of the rows. Checkpoints lie in the cache, under a name of everything that decides."""

    def __init__(
        self, spec: Spec, examples: Examples, settings: NetSettings, answers: Answers, material: Material, progress: Progress
    ) -> None:
        self.spec, self.examples, self.settings, self.answers = spec, examples, settings, answers
        self.material, self.progress = material, progress
        rows = hashlib.sha256(b"".join(examples.keys) + examples.target.tobytes())
        named = [spec.method.name, spec.seed, dict(spec.inputs), msgspec.to_builtins(settings), rows.hexdigest(), material.origin]
        self.about = hashlib.sha256(json.dumps(named).encode()).hexdigest()
        self.folder = cache_folder() / "training" / f"{spec.name}-{self.about[:16]}"

    def forget(self) -> None:
        """All is learned: take the checkpoints away. The network's file stays until its bundle has it."""
        for place in self.folder.iterdir():
            if place.is_dir():
                shutil.rmtree(place)

    def __call__(self, rows: Index, name: str) -> tuple[Any, Any]:
        """(network, `training.loop.Learned`)."""
        import torch

        from trunkline.training.loop import Recipe, train_loop
        from trunkline.training.losses import balanced, loss_of

        fit, judged = validation(self.examples, rows, self.settings.validation, self.spec.seed)
        middle, spread = self._scale(fit)
        target = torch.from_numpy((self.answers.values - middle) / spread if self._number else self.answers.values)
        weights = None
        if self.settings.balance and not self._number:
            weights = balanced(torch.from_numpy(self._counts(fit)))
        try:
            loss = loss_of(self.settings, self.answers.link, weights)
        except ValueError as error:
            raise SpecError(str(error), where="method.settings.loss") from None
        material, inputs = self.material, self.material.inputs

        def batch(at: Index, rng: np.random.Generator) -> Any:
            return inputs(fit[at], rng), target[fit[at]]

        def judge(module: Any) -> dict[str, float]:
            found = torch.from_numpy(answered(module, material, judged)).float()
            return {"loss": float(loss(found, target[judged]))}

        with torch.random.fork_rng():
            torch.manual_seed(self.spec.seed)
            module = material.build(self.answers.outputs)
        recipe = Recipe(
            module, len(fit), batch, lambda module, made: loss(module(*made[0].values()), made[1]),
            judge if len(judged) else None, None if material.sizes is None else material.sizes[fit],
        )  # fmt: skip
        place = self.folder / name.replace(" ", "-").replace("/", "-of-")
        learned = train_loop(recipe, self.settings, self.spec.seed, folder=place, about=self.about, progress=self.progress, name=name)
        module = module.cpu()
        with torch.no_grad():  # numbers were learned at a scale of their own
            module.out.weight *= spread
            module.out.bias.mul_(spread).add_(middle)
        return module, learned

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


def validation(examples: Examples, rows: Index, share: float, seed: int) -> tuple[Index, Index]:
    """(rows to learn from, rows to stop by): of one key all or none, so that no row is judged by its own copy. Under
    50 rows there is nothing to spare."""
    if len(rows) < 50:
        return rows, rows[:0]
    keys = [examples.keys[at] for at in rows.tolist()]
    chosen = [int.from_bytes(hashlib.blake2b(key, digest_size=8, key=str(seed).encode()).digest()) for key in keys]
    held = np.array([number < share * 2**64 for number in chosen])
    return (rows[~held], rows[held]) if held.any() and not held.all() else (rows, rows[:0])


def answered(module: Any, material: Material, rows: Index) -> NDArray[np.float64]:
    """(n, outputs) logits. Rows of like size go together."""
    import torch

    device = next(module.parameters()).device
    order = rows if material.sizes is None else rows[np.argsort(material.sizes[rows], kind="stable")]
    was = module.training
    found: dict[int, NDArray[np.float64]] = {}
    module.eval()
    with torch.no_grad():
        for start in range(0, len(order), JUDGED):
            part = order[start : start + JUDGED]
            given = [tensor.to(device) for tensor in material.inputs(part, None).values()]
            found.update(zip(part.tolist(), module(*given).double().cpu().numpy(), strict=True))
    module.train(was)
    return np.stack([found[at] for at in rows.tolist()])


def read_net_settings(spec: Spec, known: type[NetSettings]) -> Any:
    """Raises SpecError for an unknown setting or a wrong value."""
    from trunkline.methods.settings import read_settings

    return read_settings(spec, spec.method.name, known)


def _exported(module: Any, material: Material, folder: Path) -> tuple[OwnNetwork, float]:
    """The network's file, with the largest difference from PyTorch over single rows and a batch."""
    from trunkline.networks.export import export

    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "model.onnx"
    samples = [material.inputs(np.arange(2), None), *(material.inputs(np.array([at]), None) for at in range(5))]
    worst = export(module, made, samples, material.free)
    # Named by its content: whoever learns the same again doesn't write over what a bundle is about to take.
    return OwnNetwork(made.replace(made.with_name(f"{digest_file(made)[:16]}.onnx"))), worst


def _reading(spec: Spec, examples: Examples) -> Reading:
    if spec.task == "regress":
        return Reading("value", spec.task)
    return Reading("logits", spec.task, tuple(examples.labels), tuple(range(len(examples.labels))))
