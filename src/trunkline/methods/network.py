"""What the methods that learn a network share: folds, the loop, and of those from scratch the ONNX file and the head.

A network costs minutes, so out-of-fold predictions come from `folds` of them (3 if not set), each learned on the rows
outside its fold, and one more learns all rows. Early stopping looks at a part of the rows that a network learns from,
never at the fold it answers nor at the test rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
from msgspec import Meta

from trunkline.engines.own import HOME, NET, Owned, OwnNetwork
from trunkline.errors import SpecError
from trunkline.files import digest_file
from trunkline.heads.onnx import OnnxHead, Reading
from trunkline.methods.dense_rows import TASKS
from trunkline.methods.learning import FoldSettings, Learning, Material
from trunkline.methods.settings import read_settings
from trunkline.methods.tunable import HeldOut, Searched
from trunkline.spec import Range, Ranges, Spec
from trunkline.terminal import SILENT, Ended, Progress
from trunkline.training import parallel
from trunkline.training.settings import LOSSES
from trunkline.types import Ask, Candidate, Examples, Folds, Head, Ints, Prediction, Refused

Size = Annotated[str, Meta(pattern="^(small|base)$")]
WAIT = 86_400.0  # seconds, for another process that learns the same
RANGES: Ranges = {"rate": Range(3e-4, 1e-2, log=True), "dropout": Range(0.0, 0.5), "batch": [32, 64, 128], "size": ["small", "base"]}


class NetSettings(FoldSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Those of every network from scratch."""

    size: Size = "small"
    dropout: Annotated[float, Meta(ge=0, lt=1)] | None = None
    activation: Annotated[str, Meta(pattern="^(relu|gelu|tanh|sigmoid)$")] | None = None
    initial: Annotated[str, Meta(pattern="^(he|xavier)$")] | None = None

    def told(self) -> dict[str, Any]:
        """Those that were set, as a network's own arguments."""
        known = {"dropout": self.dropout, "activation": self.activation, "initial": self.initial}
        return {"size": self.size, **{name: value for name, value in known.items() if value is not None}}


class Network:
    """A method's own: `name`, `settings`, `ranges`, `reads` (why not, or "") and `material`; for other tasks than TASKS `learning`,
    for another engine than an ONNX file `left`."""

    name: ClassVar[str]
    settings: ClassVar[type[FoldSettings]] = NetSettings
    ranges: ClassVar[Ranges] = RANGES
    tasks: ClassVar[tuple[str, ...]] = TASKS
    needs: ClassVar[tuple[str, ...]] = ("torch", "accelerate", "onnx", "onnxruntime")
    climbs: ClassVar[bool] = False  # does auto try it where the product says `adapt`?
    progress: Progress = SILENT

    def reads(self, spec: Spec) -> str:
        raise NotImplementedError

    def material(self, spec: Spec, examples: Examples, ask: Ask, settings: Any) -> Material:
        raise NotImplementedError

    def check(self, spec: Spec) -> None:
        """Raises SpecError for settings that it can't take."""
        loss, fit = read_net_settings(spec, self.settings).loss, LOSSES.get(spec.task, ())
        if fit and loss not in fit:
            raise SpecError(
                f"the loss {loss!r} can't learn {spec.task}", where="method.settings.loss", found=repr(loss), wanted=" | ".join(fit)
            )

    def can(self, spec: Spec, examples: Examples) -> Refused | None:
        if spec.method.name != self.name and not (self.climbs and spec.method.adapt):
            return Refused("cannot", f"{self.name} learns for minutes: only a product that names it gets one")
        if spec.task not in self.tasks:
            return Refused("cannot", f"{self.name} does {', '.join(self.tasks)}, not {spec.task}")
        if why := self.reads(spec):
            return Refused("cannot", why)
        absent = [name for name in self.needs if find_spec(name) is None]
        if absent:
            return Refused("missing", f"{', '.join(absent)} not installed: pip install 'trunkline[train]'")
        return None

    def searched(self, spec: Spec) -> Searched:
        return Searched(self.settings, self.ranges)

    def fit(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> Candidate:
        """Raises SpecError (settings), TrainError (learning failed, or the ONNX file isn't the network)."""
        settings = read_net_settings(spec, self.settings)
        learn = self.learning(spec, examples, settings, self.material(spec, examples, ask, settings))
        with learn.turn():
            return self._learned(learn, folds)

    def held_out(self, spec: Spec, examples: Examples, folds: Folds, ask: Ask) -> HeldOut:
        """Raises as `fit`; no ONNX file is made."""
        settings = read_net_settings(spec, self.settings)
        learn = self.learning(spec, examples, settings, self.material(spec, examples, ask, settings))
        with learn.turn():
            try:
                for held, values in self._folds(learn, folds):
                    yield held, Prediction(learn.stacked(list(values)))
            except (Ended, GeneratorExit):  # seen enough; only a training that was killed goes on from its checkpoints
                learn.forget()
                raise
            learn.forget()

    def learning(self, spec: Spec, examples: Examples, settings: Any, material: Material) -> Learning:
        return Learning(spec, examples, settings, material, self.progress)

    def left(self, learn: Learning, module: Any) -> tuple[Head, Owned, dict[str, Any]]:
        """(the head, the engine it asks as "own:net", what to tell) of the network that learned all rows."""
        material = learn.material
        network, worst = _exported(module, material, learn.folder)
        reading = _reading(learn.spec, learn.examples)
        head = OnnxHead(material.tensors, material.mean, material.scale, "", reading, vocabulary=material.vocabulary)
        return head, network, {"onnx_difference": worst}

    def _folds(self, learn: Learning, folds: Folds) -> Iterator[tuple[Ints, Any]]:
        """(rows, their values by a network that hadn't seen them)."""
        parts = folds % learn.settings.folds
        every = np.unique(parts)
        for at, fold in enumerate(every, 1):
            held = np.flatnonzero(parts == fold)
            module, _ = learn(np.flatnonzero(parts != fold), f"fold {at}/{len(every)}")
            yield held, learn.values(module, held)

    def _learned(self, learn: Learning, folds: Folds) -> Candidate:
        found: dict[int, Any] = {}
        for held, values in self._folds(learn, folds):
            found.update(zip(held.tolist(), values, strict=True))
        module, whole = learn(np.arange(len(folds)), "all rows")
        parallel.first_alone()
        head, owned, also = self.left(learn, module)
        learn.forget()
        values = learn.stacked([found[at] for at in range(len(folds))])
        told = {
            **msgspec.to_builtins(learn.settings), "parameters": sum(p.numel() for p in module.parameters() if p.requires_grad),
            **also, "curve": msgspec.to_builtins(whole.epochs), "notes": [*whole.notes, *unscoped(learn.spec)],
        }  # fmt: skip
        return Candidate(head, Prediction(values), told, {f"{HOME}:{NET}": owned})


def unscoped(spec: Spec) -> list[tuple[str, dict[str, int]]]:
    """What the report says of a product that asks for `out_of_scope` and can't have it: no network tells how far a row
    lies from those it learned."""
    return [("unscoped", {})] if spec.serve.out_of_scope and spec.task in TASKS else []


def read_net_settings(spec: Spec, known: type[FoldSettings]) -> Any:
    """Raises SpecError for an unknown setting or a wrong value."""
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
